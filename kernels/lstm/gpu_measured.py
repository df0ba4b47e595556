"""What was measured of the GPU kernels on real cards, and what follows for a choice.

measured/README.md is the schema. Without a measurement of a case nothing is taken by
itself: that a kernel compiles and is right in an interpreter says nothing of its speed,
nor that blocks never wait for ever on a device. Nor does what other sources of it did.
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kernels.lstm import gpu_tiles
from kernels.lstm.cases import Shape
from kernels.lstm.spec import Case

FOLDER = Path(__file__).with_name("measured")
KERNEL = (
    "gpu_arithmetic",
    "gpu_backward",
    "gpu_exchange",
    "gpu_forward",
    "gpu_launch",
    "gpu_sweeps",
    "gpu_tiles",
)
WORTH = 1.5  # times as fast as the XLA scan, both sweeps
COMMENT = re.compile(r"(?<!\S)#.*")
NAME_IT = "name backend='pallas_gpu' to use it"
UNMEASURED = f"no measurement of this case is committed yet; {NAME_IT}"
# Kinds of a report's parts: what is ours alone in them is to blame if one has no end.
OURS = ("tests", "search", "table")
Row = dict[str, Any]


def unproven(case: Case, folder: Path | None = None) -> str | None:
    """Why the persistent kernel is not the default for a case; None where it is."""
    card = gpu_tiles.present(case.platform)
    report = None if card is None else read(folder or FOLDER).get(card.name)
    if report is None:
        return UNMEASURED
    if report["kernel"] != kernel():
        return (
            f"its source has changed since it was measured on {report['device']}: "
            f"`launch/run bench rented-gpu` there measures it again; {NAME_IT}"
        )
    return _unfinished(report, case) or _not_worth(report, case)


def _unfinished(report: dict[str, Any], case: Case) -> str | None:
    """Tests that have not passed, and parts that had no end."""
    parts, device = report["parts"], report["device"]
    for tests in ("stress", "large", "others", case.dtype):
        state = parts.get(f"tests {tests}", "not run")
        if state != "done":
            return f"on {device}, its tests ({tests}) have not passed: {state}"
    for part, state in parts.items():
        if state.startswith("killed") and part.partition(" ")[0] in OURS:
            return f"on {device}, {part} had no end and was {state}"
    return None


def _not_worth(report: dict[str, Any], case: Case) -> str | None:
    device, has = report["device"], kind(case)
    alike = [row for row in report["rows"] if _same_cut(row, case)]
    rows = _vouching(alike, has)
    for row in rows:
        if "failed" in row:
            return f"it failed on {device}: {row['failed']}"
    ratios = [row["ratios"]["xla"]["median"] for row in rows if "xla" in row["ratios"]]
    if not ratios and alike and has:
        return (
            f"on {device} this size was not measured with {' and '.join(has)}; "
            f"{NAME_IT}"
        )
    if not ratios:
        return UNMEASURED
    if min(ratios) < WORTH:
        return (
            f"on {device} it was {min(ratios):.2f} times as fast as xla, and is taken "
            f"from {WORTH} on; {NAME_IT}"
        )
    return None


def kind(of: Case | Shape) -> list[str]:
    """What a call has that the kernel reads, or works out, besides."""
    has = {
        "masks": of.lengths or of.resets,  # to the kernel they are one
        "h_mask": of.h_mask,
        "peephole": of.peephole,
    }
    return [name for name, there in has.items() if there]


def _same_cut(row: Row, case: Case) -> bool:
    """Padded size, tiles of the batch, dtype; and no shorter a walk. Both sweeps."""
    return (
        row["backend"] == "pallas_gpu"
        and row["what"] == "forward+backward"
        and gpu_tiles.padded(row["hidden"]) == gpu_tiles.padded(case.hidden)
        and gpu_tiles.row_tiles(row["batch"])[0] == gpu_tiles.row_tiles(case.batch)[0]
        and row["dtype"] == case.dtype
        and row["time"] <= case.time
    )


def _vouching(rows: list[Row], has: list[str]) -> list[Row]:
    """Those with the same masks and peepholes; where there are none, with more."""
    same = [row for row in rows if {*row["has"]} == {*has}]
    return same or [row for row in rows if {*row["has"]} > {*has}]


def cut(
    sweep: gpu_tiles.Sweep, card: gpu_tiles.Card, folder: Path | None = None
) -> gpu_tiles.Cut | None:
    """gpu_tiles.chosen, but of those that fit the one that was the fastest here.

    By what other sources measured too: which fit is not asked of a measurement. Masks
    take memory: with them the fastest of the search, which has none, may not fit.
    """
    searched = read(folder or FOLDER).get(card.name, {}).get("searched", {})
    tiles, _ = gpu_tiles.row_tiles(sweep.batch)
    # What was not searched of a dtype is cut as the other one, which is as wide.
    for dtype in (sweep.dtype, *gpu_tiles.DTYPES):
        times = searched.get(key(sweep._replace(dtype=dtype), tiles), {})
        for name in sorted(times, key=times.__getitem__):
            if fits := gpu_tiles.chosen(sweep, card, name=name):
                return fits
    return gpu_tiles.chosen(sweep, card)


def key(sweep: gpu_tiles.Sweep, tiles: int) -> str:
    direction = "backward" if sweep.backward else "forward"
    return f"{sweep.hidden} {tiles} {sweep.dtype} {direction}"


@functools.cache
def kernel() -> str:
    """Of the sources that a launch is made of, and its cut."""
    return hash_of([Path(__file__).with_name(f"{name}.py") for name in KERNEL])


def hash_of(files: Iterable[Path]) -> str:
    """Of their lines, one after another; comments may change."""
    lines = (line for file in files for line in file.read_text().splitlines())
    said = (COMMENT.sub("", line).rstrip() for line in lines)
    content = "\n".join(filter(None, said)).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The reports in a folder, by the name of the card."""
    newest = max((f.stat().st_mtime_ns for f in folder.glob("*.json")), default=0)
    return _read(folder, newest)


@functools.cache
def _read(folder: Path, _: int) -> dict[str, dict[str, Any]]:
    reports = [json.loads(f.read_text()) for f in sorted(folder.glob("*.json"))]
    return {report["device"]: report for report in reports}
