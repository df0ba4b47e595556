"""What a sweep takes of VMEM: blocks, scratch, and the values between.

`need` is held to the compiler's own figure by a test.
"""

from typing import NamedTuple

LANES = 128  # of a vector register; the last axis of every array comes in such pieces
WIDE = 4  # bytes of float32
KIB, MIB = 2**10, 2**20


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

    `flat` KiB and `cell` bytes a row and cell, of which 8 rows are the fewest.
    """

    flat: int
    cell: float
    step: float = 0.0  # bytes a row, cell and step of an iteration, from the third on
    part: float = 0.0  # the same, where the last iteration is of fewer steps


class Between(NamedTuple):
    """Those of one direction, of tiles of up to so many rows."""

    rows: int
    one: Line  # of 128 cells, a register's lanes: they are one piece
    more: Line


class Flags(NamedTuple):
    """Bytes a step, row and lane where there are resets, of so many rows at most."""

    rows: int
    forward: int
    backward: int


class Taken(NamedTuple):
    """What a generation's compiler takes of its VMEM beyond blocks, for one dtype.

    Blocks it takes exactly as `need` adds them up. What lies between follows no rule
    that we know, but lines bound it well. These are just above the most that was seen
    with libtpu 0.0.42.1 of 750 kernels: batches of 1 to 1,000, 32 to 2,560 cells, one
    to 16 steps of an iteration. Of them 743 were within 12 % and 128 KiB of the bound;
    the widest, of 1.64 times what it took, has one step an iteration on a v4. Two took
    more, 234 KiB on a v6e and 143 KiB on a v7x, both of few steps with resets: what
    `tpu_tiles.chosen` allows besides is for such. Of 62 others five took up to 146 KiB
    more and one 20 % less; lines were moved for them.
    """

    forward: tuple[Between, ...]
    unkept: tuple[Between, ...]  # forward, writing no gates: products wait in VMEM
    backward: tuple[Between, ...]
    flags: Flags


ALL = 256  # rows: no tile has more
FLAGS, FEW_FLAGS, NO_FLAGS = Flags(ALL, 0, 6), Flags(24, 20, 36), Flags(ALL, 0, 0)
V4 = (Between(ALL, Line(112, 8), Line(80, 17, 4)),)
V5 = (Between(ALL, Line(54, 5), Line(54, 15, 4)),)
V6 = (Between(ALL, Line(20, 19, 11), Line(20, 21, 4)),)
V6_UNKEPT = (  # of few rows wh comes in pairs, see tpu_tiles.paired
    Between(32, Line(20, 19, 7), Line(440, 18.5, 4)),
    Between(128, Line(20, 19, 7), Line(120, 18.5, 4)),
    Between(ALL, Line(20, 26), Line(20, 21)),
)
V4_BACK = (
    Between(8, Line(156, 33), Line(496, 37)),
    Between(ALL, Line(104, 33), Line(288, 37, 3)),
)
V5_BACK = (Between(ALL, Line(34, 28), Line(34, 37.5, 7)),)
V6_BACK = (
    Between(8, Line(32, 47), Line(152, 48.5, 4)),
    Between(200, Line(32, 47), Line(8, 48.5, 4)),
    Between(ALL, Line(32, 47), Line(8, 33, 0, 11)),
)
V7_BACK = (*V6_BACK[:2], Between(ALL, Line(32, 47), Line(8, 32, 0, 10)))
# The matrix units take each factor of 32 bits in three parts.
V4_FULL = Taken(
    forward=(Between(ALL, Line(152, 22), Line(120, 29)),),
    unkept=(
        Between(96, Line(52, 66), Line(52, 122)),
        Between(ALL, Line(100, 29), Line(100, 29)),
    ),
    backward=(
        Between(64, Line(100, 88), Line(112, 114)),
        Between(128, Line(100, 88), Line(100, 58)),
        Between(ALL, Line(100, 44), Line(100, 50)),
    ),
    flags=FEW_FLAGS,
)
V5_FULL = Taken(
    forward=(Between(ALL, Line(36, 22.5), Line(220, 22.5)),),
    unkept=(
        Between(40, Line(16, 20), Line(16, 130)),
        Between(ALL, Line(20, 36), Line(20, 36)),
    ),
    backward=(
        Between(56, Line(60, 36), Line(132, 127)),
        Between(ALL, Line(60, 36), Line(24, 87)),
    ),
    flags=FLAGS,
)
V6_FULL = Taken(
    forward=(Between(ALL, Line(124, 33), Line(804, 30)),),
    unkept=(
        Between(128, Line(12, 44), Line(620, 64)),
        Between(ALL, Line(20, 47), Line(20, 56)),
    ),
    backward=(Between(ALL, Line(260, 58), Line(440, 58)),),
    flags=NO_FLAGS,
)
V7_FULL = V6_FULL._replace(
    unkept=(
        Between(128, Line(12, 44), Line(768, 30)),
        Between(ALL, Line(20, 47), Line(20, 56)),
    ),
    backward=(Between(ALL, Line(260, 58), Line(472, 48)),),
)
TAKEN = {  # by bytes of x's dtype
    "v4": {2: Taken(V4, V4, V4_BACK, FEW_FLAGS), 4: V4_FULL},
    "v5e": {2: Taken(V5, V5, V5_BACK, FLAGS), 4: V5_FULL},
    "v5p": {2: Taken(V5, V5, V5_BACK, FLAGS), 4: V5_FULL},
    "v6e": {2: Taken(V6, V6_UNKEPT, V6_BACK, NO_FLAGS), 4: V6_FULL},
    "v7x": {2: Taken(V6, V6_UNKEPT, V7_BACK, NO_FLAGS), 4: V7_FULL},
}


def need(sweep: Sweep, batch: int, time: int, generation: str) -> int:
    """Bytes of VMEM for blocks, scratch and the values between.

    A call of a single block takes less: nothing is copied while it is computed.

    Args:
      batch, time: of one tile.
    """
    few = 1 << max(batch - 1, 0).bit_length()  # of fewer than 8 rows: a power of two
    rows, narrow = min(few, -(-batch // 8) * 8), sweep.itemsize
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
    else:
        row += 3 * (projected * narrow + hidden * WIDE)
        step += hidden * WIDE * (sweep.keep is not None)
        step += 4 * hidden * narrow * (sweep.keep == "gates")
    spill = between(sweep, rows, time, generation)
    return spill + fixed + rows * row + 2 * time * rows * step


def between(sweep: Sweep, rows: int, time: int, generation: str) -> int:
    """Bytes that a sweep takes beyond its blocks."""
    taken = TAKEN[generation][min(sweep.itemsize, WIDE)]  # 8 are only interpreted
    if sweep.backward:
        ways = taken.backward
    elif sweep.keep is None or (sweep.keep == "cells" and sweep.itemsize == WIDE):
        ways = taken.unkept
    else:
        ways = taken.forward
    way = next(way for way in ways if rows <= way.rows)
    line = way.one if sweep.hidden == LANES else way.more
    rows = max(rows, 8)
    part = line.part * (sweep.time % time > 0)
    cell = line.cell + (line.step + part) * max(time - 2, 0)
    flags = taken.flags.backward if sweep.backward else taken.flags.forward
    flags *= LANES * time * min(rows, taken.flags.rows) * sweep.resets
    spread = WIDE * rows * sweep.projected * (sweep.backward and sweep.h_mask)
    return int(line.flat * KIB + rows * sweep.hidden * cell) + flags + spread
