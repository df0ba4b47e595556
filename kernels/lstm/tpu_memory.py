"""What a sweep takes of VMEM: blocks, scratch, and the values between.

`need` is held to the compiler's own figure by a test.
"""

import functools
import json
from pathlib import Path
from typing import NamedTuple

LANES = 128  # of a vector register; the last axis of every array comes in such pieces
LEAST_ROWS = 8  # that a register holds of 32 bits
WIDE = 4  # bytes of float32
KIB, MIB = 2**10, 2**20
FILE = Path(__file__).with_suffix(".json")
SAME = {"v5p": "v5e"}  # what their compilers take, to a few KiB


class Sweep(NamedTuple):
    """One direction of one call: all that its memory depends on. Sizes are padded."""

    backward: bool
    time: int
    batch: int
    hidden: int
    projected: int
    itemsize: int  # bytes of x's dtype
    keep: str | None  # of a forward sweep, as in xla.forward
    peephole: bool
    projection: bool
    h_mask: bool
    lengths: bool
    resets: bool


class Line(NamedTuple):
    """Bytes for the values that do not stay in registers: a bound that is a line.

    The first of a way whose `rows` and `hidden` a tile does not exceed is the tile's.
    Fewer than LEAST_ROWS rows count for as many.
    """

    rows: int
    hidden: int | None  # None: any
    flat: float  # KiB
    cell: float  # bytes a row and cell
    step: float = 0.0  # the same, for each step of an iteration from the third on
    part: float = 0.0  # the same, where the last iteration is of fewer steps
    flags: float = 0.0  # bytes a step, row and lane where there are resets
    flag: float = 0.0  # bytes a step and lane where there are resets, of any rows
    peephole: float = 0.0  # bytes a step, row and cell where gates see the cell
    once: float = 0.0  # KiB more where an iteration is of one step


Table = dict[str, dict[str, dict[str, list[Line]]]]  # of a generation, itemsize, way


@functools.cache
def lines() -> Table:
    """What a generation's compiler takes of its VMEM beyond blocks.

    Blocks it takes exactly as `blocks` adds them up. What lies between follows no rule
    that we know, but lines bound it well. Those of the file are of libtpu 0.0.42.1:

    - tiles of up to 32 rows and 384 cells: fitted by tpu_memory_fit.py to 2,939 calls,
      of which none takes more and the named cases take at most 12 % less. Of calls that
      were left out of a fit one in 18 took more, up to 545 KiB: a v6e's and a v7x's
      compiler takes 260 KiB or nothing for neighbours, which no line tells apart.
    - larger tiles: just above the most that was seen of 750 kernels, batches of 1 to
      1,000, 32 to 2,560 cells, one to 16 steps of an iteration; 743 of them were within
      12 % and 128 KiB of the bound.

    What `tpu_tiles.chosen` allows besides is for what takes more all the same.
    """
    return {
        generation: {
            itemsize: {
                way: [Line(*line) for line in rows] for way, rows in ways.items()
            }
            for itemsize, ways in dtypes.items()
        }
        for generation, dtypes in json.loads(FILE.read_text()).items()
    }


def need(sweep: Sweep, batch: int, time: int, generation: str) -> int:
    """Bytes of VMEM for blocks, scratch and the values between.

    A call of a single block takes less: nothing is copied while it is computed.

    Args:
      batch, time: of one tile.
    """
    return blocks(sweep, batch, time) + between(sweep, batch, time, generation)


def blocks(sweep: Sweep, batch: int, time: int) -> int:
    """Bytes of blocks, scratch, and on the way back of h_mask's factors."""
    rows, narrow = held(batch), sweep.itemsize
    hidden, projected = sweep.hidden, sweep.projected
    weights = 4 * hidden * projected + hidden * projected * sweep.projection
    fixed = weights * narrow + 8 * hidden * WIDE * sweep.peephole
    row = projected * narrow * sweep.h_mask
    ends = sweep.lengths or sweep.time % time > 0  # tpu_grid.shared
    row += LANES * WIDE * ends + 2 * LANES * WIDE * sweep.resets
    step = 4 * hidden * narrow + projected * narrow  # xp and y, or gates and dy
    if sweep.backward:
        row += 3 * (projected + hidden) * WIDE  # the state: in, out and scratch
        step += hidden * (4 * narrow + WIDE)  # dz and cells
        step += projected * narrow * sweep.projection  # dh
        fixed += max(rows, LEAST_ROWS) * projected * WIDE * sweep.h_mask
    else:
        row += 3 * (projected * narrow + hidden * WIDE)
        step += hidden * WIDE * (sweep.keep is not None)
        step += 4 * hidden * narrow * (sweep.keep == "gates")
    return fixed + rows * row + 2 * time * rows * step


def held(batch: int) -> int:
    """Rows that a tile's arrays have: of fewer than 8 rows a power of two."""
    few = 1 << max(batch - 1, 0).bit_length()
    return min(few, -(-batch // LEAST_ROWS) * LEAST_ROWS)


def between(sweep: Sweep, batch: int, time: int, generation: str) -> int:
    """Bytes that a sweep takes beyond its blocks."""
    line = line_of(sweep, batch, lines()[SAME.get(generation, generation)])
    return int(sum(terms(line, sweep, batch, time)))


def line_of(sweep: Sweep, batch: int, dtypes: dict[str, dict[str, list[Line]]]) -> Line:
    """The line of a tile."""
    ways = dtypes[str(min(sweep.itemsize, WIDE))]  # 8 are only interpreted
    return next(
        line
        for line in ways[way_of(sweep)]
        if held(batch) <= line.rows
        and (line.hidden is None or sweep.hidden <= line.hidden)
    )


def way_of(sweep: Sweep) -> str:
    """The kind of kernel: one that keeps no gates has products that wait in VMEM."""
    if sweep.backward:
        return "backward"
    wide = sweep.keep == "cells" and sweep.itemsize >= WIDE
    return "unkept" if sweep.keep is None or wide else "forward"


def terms(line: Line, sweep: Sweep, batch: int, time: int) -> tuple[float, ...]:
    """The bytes of each of a line's numbers, in their order after rows and hidden."""
    rows = max(held(batch), LEAST_ROWS)
    cells, lanes = rows * sweep.hidden, LANES * time * sweep.resets
    later = max(time - 2, 0) * cells
    return (
        line.flat * KIB,
        line.cell * cells,
        line.step * later,
        line.part * later * (sweep.time % time > 0),
        line.flags * lanes * rows,
        line.flag * lanes,
        line.peephole * time * cells * sweep.peephole,
        line.once * KIB * (time == 1),
    )
