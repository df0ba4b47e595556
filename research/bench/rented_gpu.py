"""All that is worth doing on a GPU rented for half an hour, in one command.

Tests marked gpu, the search for the fastest cuts, the LSTM beside torch and others, the
GAN's step beside torch: part after part, what decides the most first, in a process that
is killed if blocks wait for ever. Tests mostly compile, so all but the stress tests run
side by side. The file is written after each part, and a second run goes on where the
first ended: commit it.
"""

import importlib.util
import json
import os
import re
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from kernels.lstm import gpu_bench, gpu_measured, gpu_tiles
from research.bench import device_tests, killable
from research.errors import UserError
from research.training.files import replacing

# By the first word of a part: seconds that it may take.
LIMITS = {"tests": 240.0, "flashrnn": 400.0}  # FlashRNN is compiled when it is called
LIMIT = 150.0
# Who is timed in which kind of part. What needs packages besides jax is by itself: what
# stops it takes nothing from ours.
TIMED = {
    "table": ("pallas_gpu", "xla", "jax.experimental.rnn"),
    "cell": ("kernels.lstm.pallas_gpu_cell", "xla"),
    "torch": ("pallas_gpu", "torch"),
    "flashrnn": ("pallas_gpu", "flashrnn"),
}
SIDE_BY_SIDE = "tests side by side"
TESTS = tuple(name for name in device_tests.TESTS if name != "stress")
# Sources for a TPU; tpu_tiles also lays out what the GPU's kernels read.
NEVER_HERE = re.compile("tpu_(?!tiles)|pallas_tpu|static_")
PACKAGES = ("jax", "jaxlib", "torch", "flashrnn")
SIZES = {f"{shape} {dtype}": (shape, dtype) for shape, dtype in gpu_bench.shapes()}
Report = dict[str, Any]


def add_options(parser: ArgumentParser) -> None:
    """What `launch/run bench rented-gpu` takes."""
    help = "all ends by then; another run does what is left; default: %(default)s"
    parser.add_argument("--minutes", type=float, default=25.0, help=help)


def told(row: dict[str, Any]) -> str | None:
    """A line for a person."""
    if "part" in row:
        return f"{row['part']:40} {row['state']}"
    return gpu_bench.told(row)


def rows(minutes: float = 25.0, folder: Path | None = None) -> Iterator[dict[str, Any]]:
    """What became of each part, and its rows; then of the file, at report_path().

    Raises:
      UserError: there is no GPU here.
    """
    end = time.monotonic() + 60 * minutes
    # Others need the card's memory as well: the tests' process, the parts', torch.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    card = here()
    path = report_path(card.name, folder or gpu_measured.FOLDER)
    report = begun(card.name, path)
    for ended in killable.each(work, left(report), limit, end):
        state = add(report, ended)
        write(path, report)
        yield {"part": ended.part, "state": state}
        yield from (ended.value or {}).get("rows", ())
    if path.exists():
        done = sum(report["parts"].get(part) == killable.DONE for part in PARTS)
        state = f"commit it: {done} of {len(PARTS)} parts are done"
        yield {"part": str(path), "state": state}


def here() -> gpu_tiles.Card:
    """The card to measure.

    Raises:
      UserError: there is none.
    """
    try:
        backend = jax.default_backend()
    except (AssertionError, RuntimeError):  # asked for, but of another driver, say
        backend = "broken CUDA"
    card = gpu_tiles.present(backend)
    if card is None:
        raise UserError(
            f"bench rented-gpu needs an NVIDIA GPU, and jax sees a {backend} here: "
            f"rent one, or LAUNCH_ACCELERATOR=cuda"
        )
    return card


def _parts() -> Iterator[str]:
    """The most telling first: what bfloat16 needs to be the default, of one size."""
    first, second, *_ = SIZES  # the published size, of which cuDNN's best is in float16
    yield from ("tests stress", f"search {first}", f"table {first}", SIDE_BY_SIDE)
    yield from (f"torch {first}", f"torch {second}")
    yield from _of_all_sizes("bfloat16", "search", "table")
    yield "gan step"
    yield from _of_all_sizes("bfloat16", "torch")
    yield from _of_all_sizes("float16", "search", "table", "torch")
    yield from _of_all_sizes("float32", "cell", "table", "torch")
    yield f"cell {first}"
    if importlib.util.find_spec("flashrnn"):
        yield from _of_all_sizes("bfloat16", "flashrnn")


def _of_all_sizes(dtype: str, *kinds: str) -> Iterator[str]:
    """Size after size, as a run may end between; masks are in our own table alone."""
    for size, (shape, of) in SIZES.items():
        for kind in kinds:
            if of == dtype and (kind == "table" or not gpu_measured.kind(shape)):
                yield f"{kind} {size}"


PARTS = tuple(dict.fromkeys(_parts()))


def limit(part: str) -> float:
    return LIMITS.get(_kind(part), LIMIT)


def work(part: str) -> Report:
    """What a part adds to the report; in a process of its own."""
    kind, _, size = part.partition(" ")
    if kind == "tests":
        names = TESTS if part == SIDE_BY_SIDE else (size,)
        return tested(names, limit(part) - 20)
    if kind == "gan":
        from research.bench import gan_step

        return {"rows": list(gan_step.rows())}
    shape, dtype = SIZES[size]
    card = gpu_tiles.present("gpu")
    assert card is not None  # rows() has asked
    if kind == "search":
        found: Report = {"searched": gpu_bench.searched(shape, dtype, card)}
    else:
        timed = list(gpu_bench.rows(shape, dtype, card.name, TIMED[kind]))
        if all("failed" in row for row in timed):  # of the machine, not of a contestant
            raise RuntimeError(f"nothing runs: {timed[0]['failed']}")
        found = {"rows": timed}
    jax.block_until_ready(jax.numpy.arange(8) + 1)  # no kernel has broken the context
    return found


def tested(names: tuple[str, ...], seconds: float) -> Report:
    """Kinds of device_tests, each in a process of its own, all at once."""
    with ThreadPoolExecutor(len(names)) as threads:
        outcomes = threads.map(lambda which: device_tests.run(which, seconds), names)
        ended = dict(zip((f"tests {which}" for which in names), outcomes, strict=True))
    states = {outcome.state for outcome in ended.values()} - {killable.DONE}
    return {
        "state": max(states, default=killable.DONE),  # killed before failed
        "parts": {part: outcome.state for part, outcome in ended.items()},
        "failed": {part: outcome.failed for part, outcome in ended.items()},
    }


def add(report: Report, ended: killable.Ended) -> str:
    """What a part gave, and what became of it, which it returns."""
    found = ended.value or {}
    state = found.get("state", ended.state)  # of tests
    report["parts"] |= {ended.part: state} | found.get("parts", {})
    report["failed"] |= found.get("failed", {})
    # Of two searches of one key the first stays: rows were timed with its cut.
    report["searched"] = found.get("searched", {}) | report["searched"]
    report["rows"] += found.get("rows", [])
    return state


def left(report: Report) -> Iterator[str]:
    """Parts not yet done. What failed is done again; what hung stays so."""
    for part in PARTS:
        state = report["parts"].get(part, killable.FAILED)
        if state.startswith(killable.FAILED) and not given_up(report, part):
            yield part


def given_up(report: Report, part: str) -> bool:
    """Whether kernels of ours that hung would take more of the rented time.

    After a test that hung nothing is timed, other tests may; after two no kernel runs.
    """
    hung = [
        _kind(other)
        for other, state in report["parts"].items()
        if state.startswith(killable.KILLED)
        and _kind(other) in gpu_measured.OURS
        and other != SIDE_BY_SIDE  # one of its own has the same state
    ]
    if _kind(part) == "gan":
        return False
    return len(hung) > 1 or ("tests" in hung and _kind(part) != "tests")


def _kind(part: str) -> str:
    return part.partition(" ")[0]


def begun(device: str, path: Path) -> Report:
    """The report of the last run, of the same kernels; or one with nothing measured.

    One of other kernels is kept beside it.
    """
    made = {
        "device": device,
        "versions": dict(installed()),
        "kernel": gpu_measured.kernel(),
        "sources": sources(),
    }
    if path.exists():
        last = json.loads(path.read_text())
        if all(last.get(name) == value for name, value in made.items()):
            return last
        when = re.sub(r"\D", "", last.get("measured", ""))
        path.replace(path.with_suffix(f".{when}.before"))
    measured = datetime.now(UTC).isoformat(timespec="seconds")
    results = {"parts": {}, "failed": {}, "searched": {}, "rows": []}
    return made | {"measured": measured} | results


def sources() -> str:
    """Of all that is timed: one run goes on with another's of the same."""
    files = (device_tests.ROOT / "kernels" / "lstm").glob("*.py")
    return gpu_measured.hash_of(
        sorted(f for f in files if not NEVER_HERE.match(f.name))
    )


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
    with replacing(path) as new:
        new.write_text(json.dumps(report, indent=1) + "\n")
