"""How much of a sequence a TPU kernel holds at once, and what that takes of its memory.

A kernel keeps wh in VMEM, the memory next to the matrix units, for the whole sequence,
and streams blocks of [time, batch] through it, two of each array at a time: one being
computed, one being copied. What does not fit cannot be compiled, so the sum is made
first, in tpu_memory.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels import target
from kernels.lstm.tpu_memory import LANES, MIB, Sweep, need

DTYPES = ("float32", "bfloat16")
FEW = 128  # rows up to which h·wh is added up in parts, see tpu_kernels._depths
STEPS = {  # of one iteration, by bytes of x's dtype; each is a copy of the whole step
    2: (8, 4, 2, 1),  # more compile long, and gain only what step_counts says
    4: (2, 1),  # 8 take 7 % fewer cycles (v6e, B 64, H 256) and 19 times the compiling
}


class Generation(NamedTuple):
    """One kind of TPU core."""

    side: int  # of a matrix unit; four such units are a core's multipliers
    kind: str  # what jax calls its devices
    topology: str  # the smallest slice that can be compiled for
    vmem: int  # bytes that a kernel can use


GENERATIONS = {
    "v4": Generation(128, "TPU v4", "v4:2x2x1", 16 * MIB),
    "v5e": Generation(128, "TPU v5 lite", "v5e:2x2", 128 * MIB),
    "v5p": Generation(128, "TPU v5", "v5p:2x2x1", int(63.9 * MIB)),
    "v6e": Generation(256, "TPU v6 lite", "v6e:2x2", 128 * MIB),
    "v7x": Generation(256, "TPU7x", "tpu7x:2x2x1", int(63.9 * MIB)),
}


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
