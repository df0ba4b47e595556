"""All that is worth doing on a GPU rented for half an hour, in one command.

Tests marked gpu, the search for the fastest cuts, the LSTM beside torch and others, the
GAN's step beside torch: part after part in a process that is killed if blocks wait for
ever. The file is written after each part, and a second run goes on where the first
ended: commit it.
"""

import functools
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from kernels.lstm import gpu_bench, gpu_measured, gpu_tiles
from kernels.lstm.cases import Shape
from research.bench import killable
from research.errors import UserError

ROOT = Path(__file__).parents[2]
TESTS = "tests/kernels/lstm/device/test_gpu_device.py"
# `bench` installs no plugin of pytest's: what it would not know of is a warning, and
# those are errors.
PLAIN = ("-p", "no:timeout", "-W", "ignore::pytest.PytestConfigWarning")
OPTIONS = ("-v", "-m", "gpu", *PLAIN)
LIMITS = {"stress": 180.0, "tests": 420.0}  # seconds
LIMIT = 240.0  # of every other part
PACKAGES = ("jax", "jaxlib", "torch", "flashrnn")
Report = dict[str, Any]


def add_options(parser: ArgumentParser) -> None:
    """What `launch/run bench rented-gpu` takes."""
    help = "all ends by then; another run does what is left; default: %(default)s"
    parser.add_argument("--minutes", type=float, default=25.0, help=help)


def told(row: dict[str, Any]) -> str | None:
    """A line for a person."""
    if "part" in row:
        return f"{row['part']:40} {row['state']} {row['said']}".rstrip()
    return gpu_bench.told(row)


def rows(minutes: float = 25.0, folder: Path | None = None) -> Iterator[dict[str, Any]]:
    """What became of each part, and its rows; the file is at report_path().

    Raises:
      UserError: there is no GPU here.
    """
    end = time.monotonic() + 60 * minutes
    # Others need the card's memory as well: the tests' process, the parts', torch.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    card = gpu_tiles.present(jax.default_backend())
    if card is None:
        raise UserError(
            f"bench rented-gpu needs an NVIDIA GPU, and jax sees a "
            f"{jax.default_backend()} here: rent one, or LAUNCH_ACCELERATOR=cuda"
        )
    path = report_path(card.name, folder or gpu_measured.FOLDER)
    report = begun(card.name, path)
    for ended in killable.each(work, _left(report), limit, end):
        add(report, ended)
        write(path, report)
        found = ended.value or {}
        said = found.get(ended.part, {}).get("said", "")  # of tests
        yield {"part": ended.part, "state": ended.state, "said": said}
        yield from found.get("rows", ())


def _parts() -> Iterator[str]:
    sizes = [f"{shape} {dtype}" for shape, dtype in gpu_bench.shapes()]
    yield from ("stress", "tests")
    yield from (f"search {size}" for size in sizes if "float32" not in size)
    yield "gan step"
    yield from (f"table {size}" for size in sizes)


PARTS = tuple(_parts())  # the most telling first


def limit(part: str) -> float:
    return LIMITS.get(part, LIMIT)


def work(part: str) -> Report:
    """What a part adds to the report; in a process of its own."""
    kind, _, size = part.partition(" ")
    if kind in LIMITS:
        which = "stress" if kind == "stress" else "not stress"
        return {kind: outcome(which, limit(kind) - 20)}
    if kind == "gan":
        from research.bench import gan_step

        return {"rows": list(gan_step.rows())}
    shape, dtype = _size(size)
    card = gpu_tiles.present("gpu")
    assert card is not None  # rows() has asked
    if kind == "search":
        found: Report = {"cells": gpu_bench.fastest(shape, dtype, card)}
    else:
        found = {"rows": list(gpu_bench.rows(shape, dtype, card.name))}
    jax.block_until_ready(jax.numpy.arange(8) + 1)  # no kernel has broken the context
    return found


def _size(name: str) -> tuple[Shape, str]:
    return next((s, d) for s, d in gpu_bench.shapes() if f"{s} {d}" == name)


def add(report: Report, ended: killable.Ended) -> None:
    """What a part gave, and what became of it."""
    found = ended.value or {}
    report["parts"][ended.part] = ended.state
    report["cells"] |= found.get("cells", {})
    report["rows"] += found.get("rows", [])
    report |= {name: found[name] for name in LIMITS if name in found}


def _left(report: Report) -> Iterator[str]:
    """Parts not yet done. What failed is done again; what hung stays so.

    Nor are kernels launched that hang under stress: each part would take its limit.
    """
    for part in PARTS:
        state = report["parts"].get(part, killable.FAILED)
        ours = part.startswith(("search", "table"))
        if state.startswith(killable.FAILED) and not (
            ours and "hung" in report["stress"]
        ):
            yield part


def outcome(which: str, limit: float) -> Report:
    """The tests on this device whose names fit, in a process that may hang."""
    command = [sys.executable, "-m", "pytest", *OPTIONS, "-k", which, TESTS]
    run = functools.partial(subprocess.run, capture_output=True, text=True)
    try:
        done = run(command, cwd=ROOT, timeout=limit)
    except subprocess.TimeoutExpired as error:
        at = _ids(_text(error.stdout), "")[-1:]
        said = f"no end after {limit:.0f} s, it was killed in {at[0] if at else TESTS}"
        return {"passed": False, "said": said, "hung": True}
    last = done.stdout.strip().splitlines()[-1:] or [done.stderr.strip()[-200:]]
    # Skipped is not passed.
    passed = done.returncode == 0 and " passed" in last[0] and "skipped" not in last[0]
    failed = sorted({*_ids(done.stdout, " FAILED"), *_ids(done.stdout, " ERROR")})
    return {"passed": passed, "said": last[0].strip("= "), "failed": failed}


def _ids(printed: str, verdict: str) -> list[str]:
    """Names of the tests of which pytest -v has printed a line."""
    found = re.findall(rf"^\S+::(\S.*?){verdict or '(?: [A-Z]+|$)'}", printed, re.M)
    return [name.strip() for name in found]


def _text(printed: bytes | str | None) -> str:
    return printed.decode() if isinstance(printed, bytes) else printed or ""


def begun(device: str, path: Path) -> Report:
    """The report of the last run, of the same kernels; or one with nothing measured.

    What is not tested has not passed.
    """
    made = {"device": device, "versions": dict(installed()), "sources": sources()}
    if path.exists():
        last = json.loads(path.read_text())
        if all(last.get(name) == value for name, value in made.items()):
            return last
    none = {"passed": False, "said": "not run"}
    measured = datetime.now(UTC).isoformat(timespec="seconds")
    results = {"parts": {}, "stress": none, "tests": none, "cells": {}, "rows": []}
    return made | {"measured": measured} | results


def sources() -> str:
    """Of which kernels a report is."""
    files = sorted((ROOT / "kernels" / "lstm").glob("*.py"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]


def installed() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue


def report_path(device: str, folder: Path) -> Path:
    return folder / f"{'_'.join(device.lower().split())}.json"


def write(path: Path, report: Report) -> None:
    """Whole, or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(report, indent=1) + "\n")
    part.replace(path)
