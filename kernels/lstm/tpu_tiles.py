"""How much of a sequence a TPU kernel holds at once, and what that takes of its memory.

A kernel keeps wh in VMEM, the memory next to the matrix units, for the whole sequence,
and streams blocks of [time, batch] through it, two of each array at a time: one being
computed, one being copied. What does not fit cannot be compiled, so the sum is made
here first. `need` is held to the compiler's own figure by a test.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels import target

LANES = 128  # of a vector register; the last axis of every array comes in such pieces
WIDE = 4  # bytes of float32
KIB, MIB = 2**10, 2**20
DTYPES = ("float32", "bfloat16")
FEW = 128  # rows up to which h·wh is added up in parts, see tpu_kernels._depths
STEPS = {  # of one iteration, by bytes of x's dtype; each is a copy of the whole step
    2: (8, 4, 2, 1),  # more compile long, and gain only what step_counts says
    4: (2, 1),  # 8 take 7 % fewer cycles (v6e, B 64, H 256) and 19 times the compiling
}


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


class Generation(NamedTuple):
    """One kind of TPU core, and what its compiler takes of its VMEM beyond blocks.

    Blocks it takes exactly as `need` adds them up. What lies between follows no rule
    that we know (the same kernel of 192 rows took 12 bytes a row and cell for 128 cells
    and 28 for 512): these are the most that was seen over some 210 sizes, batches of 1
    to 1,000 and 64 to 1,024 cells, with libtpu 0.0.42.1.
    """

    side: int  # of a matrix unit; four such units are a core's multipliers
    kind: str  # what jax calls its devices
    topology: str  # the smallest slice that can be compiled for
    vmem: int  # bytes that a kernel can use
    narrow: Between  # where x has 16 bits
    full: Between  # where it has 32: the matrix units take each factor in three parts
    spilled: Spilled


SMALL = Between(1408 * KIB, 22, 70)  # 32 bits, units of 128
LARGE = Between(1408 * KIB, 22, 33)  # of 256
V4 = Between(768 * KIB, 17, 37), Between(1408 * KIB, 22, 60), Spilled(88, 122, 0)
V5E = Between(256 * KIB, 8, 33), SMALL, Spilled(40, 130, 0)
V5P = Between(640 * KIB, 8, 33), SMALL, Spilled(40, 130, 0)
V6E = Between(640 * KIB, 8, 33), LARGE, Spilled(128, 82, 53)  # and v7x
GENERATIONS = {
    "v4": Generation(128, "TPU v4", "v4:2x2x1", 16 * MIB, *V4),
    "v5e": Generation(128, "TPU v5 lite", "v5e:2x2", 128 * MIB, *V5E),
    "v5p": Generation(128, "TPU v5", "v5p:2x2x1", int(63.9 * MIB), *V5P),
    "v6e": Generation(256, "TPU v6 lite", "v6e:2x2", 128 * MIB, *V6E),
    "v7x": Generation(256, "TPU7x", "tpu7x:2x2x1", int(63.9 * MIB), *V6E),
}


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


class Tile(NamedTuple):
    """One iteration of a kernel's grid, and what the compiler may use for it."""

    batch: int
    time: int
    vmem: int  # bytes


_asked: ContextVar[str | None] = ContextVar("generation", default=None)


@contextmanager
def compiling_for(generation: str) -> Iterator[None]:
    """Inside, calls are traced for a TPU that this machine need not have.

    What is traced inside can be compiled ahead of time, and not run here. jax remembers
    traces by function: trace a function of its own for each generation.

    Raises:
      ValueError: a name that GENERATIONS lacks.
    """
    if generation not in GENERATIONS:
        raise ValueError(f"{generation!r} is not one of {', '.join(GENERATIONS)}")
    token = _asked.set(generation)
    try:
        with target.tracing_for("tpu"):
            yield
    finally:
        _asked.reset(token)


def present(platform: str) -> str | None:
    """The generation asked for, or that of this machine's TPU, or None."""
    if _asked.get() is not None or platform != "tpu":
        return _asked.get()
    kind = jax.devices()[0].device_kind
    kinds = {g.kind: name for name, g in GENERATIONS.items()}
    return kinds.get(kind) or kinds.get({"TPU v5p": "TPU v5"}.get(kind, ""))


def padded(size: int) -> int:
    """The next whole number of registers."""
    return -(-size // LANES) * LANES


def to(array: jax.Array, axis: int, size: int) -> jax.Array:
    """Zeros at the end of an axis."""
    if array.shape[axis] == size:
        return array
    spare = [(0, 0)] * array.ndim
    spare[axis] = (0, size - array.shape[axis])
    return jnp.pad(array, spare)


def to_gates(array: jax.Array, hidden: int) -> jax.Array:
    """[.., 4·cells] → [.., 4·hidden], zeros after each gate."""
    cells = array.shape[-1] // 4
    if cells == hidden:
        return array
    apart = array.reshape(*array.shape[:-1], 4, cells)
    return to(apart, apart.ndim - 1, hidden).reshape(*array.shape[:-1], 4 * hidden)


def paired(wh: jax.Array, generation: str, rows: int) -> jax.Array:
    """[n, m] in 16 bits → [n/2, m] in 32, two rows in one, where that is faster.

    So the units of 256 columns take them; what lies apart they first put together, and
    wait for it (v6e, B 64, H 512: 682 cycles a step, paired 628). The units of 128 take
    them apart: a v5e would be a third slower.

    Args:
      rows: of the tile. With more than FEW of them wh is read once for many products.
    """
    if GENERATIONS[generation].side == 128 or wh.dtype.itemsize != 2 or rows > FEW:
        return wh
    pairs = wh.reshape(wh.shape[0] // 2, 2, wh.shape[1]).swapaxes(1, 2)
    return jax.lax.bitcast_convert_type(pairs, jnp.uint32)


def chosen(
    sweep: Sweep, generation: str, steps: tuple[int, ...] | None = None
) -> Tile | None:
    """The largest tile that fits: rows first (they share wh), then steps; or None.

    Args:
      steps: of one iteration, to choose from; None: those of step_counts.
    """
    vmem = GENERATIONS[generation].vmem
    for batch in row_counts(sweep.batch):
        for time in steps or step_counts(sweep, batch, generation):
            taken = need(sweep, batch, time, generation)
            if time <= max(sweep.time, 1) and taken <= vmem:
                # What is allowed is not taken: a foresight that fell short by an
                # eighth, with another compiler, is no failure where there is room.
                return Tile(batch, time, min(vmem, taken * 9 // 8 + MIB))
    return None


def least(sweep: Sweep, generation: str) -> int:
    """Bytes of the smallest tile."""
    counts = row_counts(sweep.batch)
    return min(need(sweep, rows, 1, generation) for rows in counts)


def step_counts(sweep: Sweep, rows: int, generation: str) -> tuple[int, ...]:
    """Steps of one iteration to choose from, the most first.

    Many rows fill the units of 256 columns, and what an iteration costs besides shows:
    on a v6e 256 rows of 512 cells take 1,357 cycles a step in eights, 1,331 in 16s and
    1,328 in 20s. Steps past the end cost as much: 64 are four 16s, 100 are five 20s.
    """
    counts = STEPS[sweep.itemsize]
    full = rows > FEW and GENERATIONS[generation].side == 256
    plain = sweep.itemsize == 2 and not sweep.backward and sweep.keep is None
    if not (full and plain):
        return counts
    # A block's resets are lanes of one register: 20 would straddle two.
    fit = [count for count in (20, 16) if not (sweep.resets and LANES % count)]
    many = sorted(fit, key=lambda count: -(-sweep.time // count) * count)
    return (*many, *counts)


def row_counts(batch: int) -> Iterator[int]:
    """All rows if they are few, then equal shares of them in whole registers.

    Beyond 256 rows the matrix units are full, and more would only take memory.
    """
    rows = 2**63
    for shares in range(1, max(batch, 1) + 1):
        share = -(-batch // shares)
        share = share if shares == 1 else -(-share // 16) * 16
        if share <= 256 and share < rows:
            rows = share
            yield rows
        if shares > 1 and share <= 16:
            break


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
        waits = GENERATIONS[generation].spilled
        cell = waits.few if rows <= waits.rows else waits.many
        spill = max(spill, rows * hidden * cell)
    return spill + fixed + rows * row + 2 * time * rows * step


def values_between(sweep: Sweep, generation: str) -> Between:
    """What a sweep takes beyond its blocks."""
    about = GENERATIONS[generation]
    return about.narrow if sweep.itemsize == 2 else about.full
