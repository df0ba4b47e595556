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


class Between(NamedTuple):
    """Bytes for the values that do not stay in registers."""

    flat: int  # whatever the size
    forward: int  # a row and cell
    backward: int


class Spilled(NamedTuple):
    """The least between blocks where a forward sweep in 32 bits writes no gates: the
    compiler then moves its products about, and they wait in VMEM."""

    rows: int  # "few" are up to so many
    few: int  # bytes a row and cell
    many: int


class Taken(NamedTuple):
    """What a generation's compiler takes of its VMEM beyond blocks.

    Blocks it takes exactly as `need` adds them up. What lies between follows no rule
    that we know (the same kernel of 192 rows took 12 bytes a row and cell for 128 cells
    and 28 for 512): these are the most that was seen over some 210 sizes, batches of 1
    to 1,000 and 64 to 1,024 cells, with libtpu 0.0.42.1.
    """

    narrow: Between  # where x has 16 bits
    full: Between  # where it has 32: the matrix units take each factor in three parts
    spilled: Spilled


SMALL = Between(1408 * KIB, 22, 70)  # 32 bits, units of 128
LARGE = Between(1408 * KIB, 22, 33)  # of 256
V4 = Between(768 * KIB, 17, 37), Between(1408 * KIB, 22, 60), Spilled(88, 122, 0)
V5E = Between(256 * KIB, 8, 33), SMALL, Spilled(40, 130, 0)
V5P = Between(640 * KIB, 8, 33), SMALL, Spilled(40, 130, 0)
V6E = Between(640 * KIB, 8, 33), LARGE, Spilled(128, 82, 53)  # and v7x
BY_GENERATION = {"v4": V4, "v5e": V5E, "v5p": V5P, "v6e": V6E, "v7x": V6E}
TAKEN = {name: Taken(*parts) for name, parts in BY_GENERATION.items()}


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
    row += LANES * WIDE * sweep.lengths + 2 * LANES * WIDE * sweep.resets
    step = 4 * hidden * narrow + projected * narrow  # xp and y, or gates and dy
    if sweep.backward:
        row += 3 * (projected + hidden) * WIDE  # the state: in, out and scratch
        step += hidden * (4 * narrow + WIDE)  # dz and cells
        step += projected * narrow * sweep.projection  # dh
    else:
        row += 3 * (projected * narrow + hidden * WIDE)
        step += hidden * WIDE * (sweep.keep is not None)
        step += 4 * hidden * narrow * (sweep.keep == "gates")
    between = values_between(sweep, generation)
    cell = between.backward if sweep.backward else between.forward
    spill = between.flat + rows * hidden * cell
    if not sweep.backward and narrow == WIDE and sweep.keep != "gates":
        waits = TAKEN[generation].spilled
        cell = waits.few if rows <= waits.rows else waits.many
        spill = max(spill, rows * hidden * cell)
    return spill + fixed + rows * row + 2 * time * rows * step


def values_between(sweep: Sweep, generation: str) -> Between:
    """What a sweep takes beyond its blocks."""
    about = TAKEN[generation]
    return about.narrow if sweep.itemsize == 2 else about.full
