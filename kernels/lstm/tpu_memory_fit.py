"""Fits the lines of small tiles to what a TPU's compiler takes of them.

    python -m kernels.lstm.tpu_memory_fit --seconds 600 samples.jsonl

compiles the named cases, then calls drawn at random, and adds what each takes to the
file; several run at once with a seed and a file of each. Then it makes the lines of
tiles of up to 32 rows and 384 cells from the samples of all files that are named, and
writes them into tpu_memory.json. Lines of larger tiles stay as they are.

A line is the solution of a linear program: no sample above it, the named cases at most
CLOSE below it, and the most that any other lies below it as little as can be.
"""

import itertools
import json
import math
import re
import time
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

from kernels.lstm import tpu_compile, tpu_grid, tpu_memory, tpu_tiles
from kernels.lstm.cases import Shape, tagged
from kernels.lstm.tpu_memory import KIB, Line, Sweep, Table

REGIONS = tuple((rows, cells) for rows in (8, 16, 32) for cells in (128, 256, 384))
FITTED = (
    "flat",
    "cell",
    "step",
    "flags",
    "peephole",
    "once",
)  # of a line; the others are 0
TIMES, ROWS, CELLS = (1, 2, 3, 5, 7, 9, 12), (2, 8, 16, 24, 32), (128, 256, 384)
KEEPS = ("gates", "cells", None)
BACKWARD = "backward"
CLOSE = 0.11  # of what a named case takes; tests allow 0.12
SPARE = 0.02  # of what a sample takes, for calls that are no sample


class Sample(NamedTuple):
    """What a compiler took."""

    generation: str
    sweep: Sweep
    batch: int  # of the tile
    time: int
    used: int  # bytes
    named: bool  # one of cases.py, rather than drawn


class Place(NamedTuple):
    """Where lines are kept in the table."""

    generation: str
    itemsize: str
    way: str


class Call(NamedTuple):
    """One kernel to compile."""

    generation: str
    case: Shape
    dtype: str
    keep: str | None  # of a forward kernel, or BACKWARD
    named: bool = False


def named() -> Iterator[Call]:
    """The named cases, each with every kernel."""
    for generation in tpu_tiles.GENERATIONS:
        for case in tagged("tpu"):
            for dtype in tpu_tiles.DTYPES:
                for keep in (*KEEPS, BACKWARD):
                    yield Call(generation, case, dtype, keep, named=True)


def drawn(seed: int) -> Iterator[Call]:
    """Small calls without end."""
    random = Random(seed)
    masks = ("peephole", "h_mask", "lengths", "resets")
    while True:
        steps, rows, cells = map(random.choice, (TIMES, ROWS, CELLS))
        flags = {name: random.random() < 0.4 for name in masks}
        yield Call(
            random.choice(list(tpu_memory.lines())),
            Shape("drawn", steps, rows, 1, cells)._replace(**flags),
            random.choice(tpu_tiles.DTYPES),
            random.choice([*KEEPS, BACKWARD, BACKWARD]),
        )


def planned(call: Call) -> tuple[str, Sweep, int, int] | None:
    """A sample's first fields: how the kernel is cut; None where wh does not fit."""
    backward = call.keep == BACKWARD
    _, core, _, _ = tpu_compile.operands(call.case, call.dtype, call.generation)
    size = call.case.time, call.case.batch
    sweep = tpu_grid.sweep_of(core, size, None if backward else call.keep, backward)
    tile = tpu_tiles.chosen(sweep, call.generation)
    return tile and (call.generation, sweep, tile.batch, tile.time)


def taken(call: Call) -> int:
    """Bytes that a kernel takes, compiled."""
    arguments = call.case, call.dtype, call.generation
    if call.keep == BACKWARD:
        return tpu_compile.backward(*arguments).used
    return tpu_compile.forward(*arguments, call.keep).used


def fitted(samples: Iterable[Sample]) -> dict[Place, list[Line]]:
    """The lines of small tiles that there are samples of."""
    regions = defaultdict(list)
    for sample in samples:
        rows, hidden = tpu_memory.held(sample.batch), sample.sweep.hidden
        region = next((r for r in REGIONS if rows <= r[0] and hidden <= r[1]), None)
        if region is not None:
            generation = tpu_memory.SAME.get(sample.generation, sample.generation)
            way = tpu_memory.way_of(sample.sweep)
            place = Place(generation, str(sample.sweep.itemsize), way)
            regions[place, region].append(sample)
    lines = defaultdict(list)
    for place, region in sorted(regions):
        lines[place].append(fit(region, regions[place, region]))
    return lines


def fit(region: tuple[int, int], samples: list[Sample]) -> Line:
    """The line of one region.

    Raises:
      ValueError: no line is above all samples and close to the named ones.
    """
    from scipy.optimize import linprog  # users of kernels need no scipy

    one = Line(*region, **dict.fromkeys(FITTED, 1.0))
    terms = np.array([tpu_memory.terms(one, *s[1:4]) for s in samples]) / KIB
    terms = terms[:, [name in FITTED for name in Line._fields[2:]]]
    used = np.array([s.used for s in samples]) / KIB
    beyond = used - np.array([tpu_memory.blocks(*s[1:4]) for s in samples]) / KIB
    close = np.array([s.named for s in samples])
    # A call of a single block takes less than its blocks are foreseen to.
    several = np.array(
        [s.time < s.sweep.time or s.batch < s.sweep.batch for s in samples]
    )
    least = beyond + SPARE * used * ~close
    solved = linprog(
        np.append(0.3 * terms.mean(axis=0), 1.0),  # the last unknown: the most over
        np.vstack(
            [_beside(-terms, 0), _beside(terms, -1)[several], _beside(terms, 0)[close]]
        ),
        np.concatenate([-least, beyond[several], (beyond + CLOSE * used)[close]]),
        bounds=(0, None),
    )
    if not solved.success:
        raise ValueError(f"no line of {region} for {samples[0]}: {solved.message}")
    numbers = [math.ceil(value * 10) / 10 for value in solved.x[:-1]]
    return Line(*region, **dict(zip(FITTED, numbers, strict=True)))


def _beside(columns: np.ndarray, value: float) -> np.ndarray:
    """One more column, of one value."""
    return np.hstack([columns, np.full((len(columns), 1), value)])


def merged(table: Table, small: Mapping[Place, list[Line]]) -> Table:
    """The table, with other lines of small tiles; the narrowest come first."""

    def order(line: Line) -> tuple[int, float]:
        return line.rows, line.hidden or math.inf

    def lines(place: Place, before: list[Line]) -> list[Line]:
        lines = {line[:2]: line for line in (*before, *small.get(place, ()))}
        return sorted(lines.values(), key=order)

    return {
        generation: {
            itemsize: {
                way: lines(Place(generation, itemsize, way), before)
                for way, before in ways.items()
            }
            for itemsize, ways in dtypes.items()
        }
        for generation, dtypes in table.items()
    }


def written(table: Table) -> str:
    """The table as it is kept: each line of it on a line."""
    text = json.dumps(table, indent=1)
    return re.sub(r"\[\s+([^][]+?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)


def read(path: Path) -> list[Sample]:
    """The samples of a file, none if there is no file."""
    if not path.exists():
        return []
    rows = map(json.loads, path.read_text().splitlines())
    return [Sample(**row | {"sweep": Sweep(**row["sweep"])}) for row in rows]


def collect(path: Path, seconds: float, seed: int) -> None:
    """Adds samples to a file: the named cases that it lacks, then drawn ones."""
    end = time.monotonic() + seconds
    known = {sample[:4] for sample in read(path)}
    with path.open("a") as file:
        for call in itertools.chain(named(), drawn(seed)):
            if time.monotonic() > end:
                return
            plan = planned(call)
            if plan is None or plan in known:
                continue
            known.add(plan)
            sample = Sample(*plan, taken(call), call.named)
            row = sample._asdict() | {"sweep": sample.sweep._asdict()}
            print(json.dumps(row), file=file, flush=True)


def main() -> None:
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    collect(asked.files[0], asked.seconds, asked.seed)
    samples = [sample for path in asked.files for sample in read(path)]
    table = merged(tpu_memory.lines(), fitted(samples))
    tpu_memory.FILE.write_text(written(table) + "\n")


if __name__ == "__main__":
    main()
