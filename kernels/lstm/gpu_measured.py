"""What was measured of the GPU kernels on real cards, and what follows for a choice.

measured/README.md is the schema. Without a measurement of a case nothing is taken by
itself: that a kernel compiles and is right in an interpreter says nothing of its speed,
nor that blocks never wait for ever on a device.
"""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kernels.lstm import gpu_tiles
from kernels.lstm.spec import Case

FOLDER = Path(__file__).with_name("measured")
WORTH = 1.5  # times as fast as the XLA scan, both sweeps
UNMEASURED = (
    "no measurement of this case is committed yet; name backend='pallas_gpu' to use it"
)


def unproven(case: Case, folder: Path | None = None) -> str | None:
    """Why the persistent kernel is not the default for a case; None where it is."""
    card = gpu_tiles.present(case.platform)
    report = None if card is None else read(folder or FOLDER).get(card.name)
    if report is None:
        return UNMEASURED
    if not (report["stress"]["passed"] and report["tests"]["passed"]):
        return f"it failed the stress test, or a test, on {report['device']}"
    for part, state in report["parts"].items():
        if state.startswith("killed"):
            return f"on {report['device']}, {part} had no end and was {state}"
    alike = list(_both_sweeps(report["rows"], case))
    for row in alike:
        if "failed" in row:
            return f"it failed on {report['device']}: {row['failed']}"
    ratios = [r["ratios"]["xla"]["median"] for r in alike if "xla" in r["ratios"]]
    if not ratios:
        return UNMEASURED
    if min(ratios) < WORTH:
        return (
            f"on {report['device']} it was {min(ratios):.2f} times as fast as xla, and "
            f"is taken from {WORTH} on; name backend='pallas_gpu' to use it"
        )
    return None


def _both_sweeps(rows: list[dict[str, Any]], case: Case) -> Iterator[dict[str, Any]]:
    for row in rows:
        ours = row["backend"] == "pallas_gpu" and row["what"] == "forward+backward"
        if ours and _alike(row, case):
            yield row


def cells_first(
    sweep: gpu_tiles.Sweep, card: gpu_tiles.Card, folder: Path | None = None
) -> tuple[int, ...]:
    """gpu_tiles.CELLS, with what was the fastest on this card in front."""
    report = read(folder or FOLDER).get(card.name, {})
    tiles, _ = gpu_tiles.row_tiles(sweep.batch)
    best = report.get("cells", {}).get(key(sweep, tiles))
    rest = tuple(c for c in gpu_tiles.CELLS if c != best)
    return rest if best is None else (best, *rest)


def key(sweep: gpu_tiles.Sweep, tiles: int) -> str:
    direction = "backward" if sweep.backward else "forward"
    return f"{sweep.hidden} {tiles} {sweep.dtype} {direction}"


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The reports in a folder, by the name of the card."""
    newest = max((f.stat().st_mtime_ns for f in folder.glob("*.json")), default=0)
    return _read(folder, newest)


@functools.cache
def _read(folder: Path, _: int) -> dict[str, dict[str, Any]]:
    reports = [json.loads(f.read_text()) for f in sorted(folder.glob("*.json"))]
    return {report["device"]: report for report in reports}


def _alike(row: dict[str, Any], case: Case) -> bool:
    """The same cut: padded size, tiles of the batch, dtype; and no shorter a walk."""
    return (
        gpu_tiles.padded(row["hidden"]) == gpu_tiles.padded(case.hidden)
        and gpu_tiles.row_tiles(row["batch"])[0] == gpu_tiles.row_tiles(case.batch)[0]
        and row["dtype"] == case.dtype
        and row["time"] <= case.time
    )
