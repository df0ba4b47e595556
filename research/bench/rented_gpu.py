"""All that is worth doing on a GPU rented for half an hour, in one command.

Tests marked gpu (each in a process that is killed if blocks wait for ever), the search
for the fastest cuts, the LSTM beside torch and others, the GAN's step beside torch. One
file is written after each part, so that what was measured stays: commit it.
"""

import functools
import json
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from kernels.lstm import gpu_bench, gpu_measured, gpu_tiles
from research.errors import UserError

ROOT = Path(__file__).parents[2]
TESTS = "tests/kernels/lstm/device/test_gpu_device.py"
LIMIT = 300  # seconds for each of the two runs of tests
PACKAGES = ("jax", "jaxlib", "torch", "flashrnn")


def add_options(parser: ArgumentParser) -> None:
    """What `launch/run bench rented-gpu` takes."""
    help = "no part is begun later than this; default: %(default)s"
    parser.add_argument("--minutes", type=float, default=25.0, help=help)


def told(row: dict[str, Any]) -> str | None:
    """A line for a person."""
    if "failed" in row:
        head = f"{row['case']:18} {row['dtype']:9} {row['what']:18} {row['backend']:22}"
        return f"{head} {row['failed']}"
    if row["unit"] != "us/step":
        return None
    share = "" if row["share"] is None else f" {row['share']:6.1%} of the bound"
    ratios = "  ".join(f"{r['median']:.2f}× {n}" for n, r in row["ratios"].items())
    return (
        f"{row['case']:18} {row['dtype']:9} {row['what']:18} {row['backend']:22} "
        f"{row['median']:8.2f} us a step{share}  {ratios}"
    )


def rows(minutes: float = 25.0, folder: Path | None = None) -> Iterator[dict[str, Any]]:
    """Rows as they are measured; the file is at report_path().

    Raises:
      UserError: there is no GPU here.
    """
    card = gpu_tiles.present(jax.default_backend())
    if card is None:
        raise UserError(
            f"bench rented-gpu needs an NVIDIA GPU, and jax sees a "
            f"{jax.default_backend()} here: rent one, or LAUNCH_ACCELERATOR=cuda"
        )
    path = report_path(card.name, folder or gpu_measured.FOLDER)
    report = begun(card.name)
    for part in parts(card, report, time.monotonic() + 60 * minutes):
        yield from part()
        write(path, report)


def parts(
    card: gpu_tiles.Card, report: dict[str, Any], end: float
) -> Iterator[Callable[[], Iterator[dict[str, Any]]]]:
    """What is done one after the other, while there is time."""

    def tests() -> Iterator[dict[str, Any]]:
        report["stress"] = outcome("stress")
        report["tests"] = outcome("not stress")
        yield from ()

    def search(shape, dtype) -> Iterator[dict[str, Any]]:
        report["cells"] |= gpu_bench.fastest(shape, dtype, card)
        yield from ()

    def table(measured: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in measured:
            report["rows"].append(row)
            yield row

    def gan() -> Iterator[dict[str, Any]]:
        from research.bench import gan_step

        return gan_step.rows()

    yield tests
    narrow = [(s, d) for s, d in gpu_bench.shapes() if d != "float32"]
    todo: list[Callable[[], Iterator[dict[str, Any]]]]
    todo = [functools.partial(search, *size) for size in narrow]
    todo.append(lambda: table(gan()))
    todo += [
        functools.partial(table, gpu_bench.rows(*size, card.name))
        for size in gpu_bench.shapes()
    ]
    for part in todo:
        if time.monotonic() < end:
            yield part


def outcome(which: str, limit: float = LIMIT) -> dict[str, Any]:
    """The tests on this device whose names fit, in a process that may hang."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-k", which, TESTS]
    try:
        run = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {"passed": False, "said": f"no end after {limit:.0f} s: it was killed"}
    last = run.stdout.strip().splitlines()[-1:] or [run.stderr.strip()[-200:]]
    # Skipped is not passed.
    passed = run.returncode == 0 and " passed" in last[0] and "skipped" not in last[0]
    return {"passed": passed, "said": last[0]}


def begun(device: str) -> dict[str, Any]:
    """A report with nothing measured: what is not tested has not passed."""
    none = {"passed": False, "said": "not run"}
    return {
        "device": device,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": dict(installed()),
        "stress": none,
        "tests": none,
        "cells": {},
        "rows": [],
    }


def installed() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue


def report_path(device: str, folder: Path) -> Path:
    return folder / f"{'_'.join(device.lower().split())}.json"


def write(path: Path, report: dict[str, Any]) -> None:
    """Whole, or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(report, indent=1) + "\n")
    part.replace(path)
