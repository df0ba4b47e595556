"""What one iteration of a TPU kernel's grid does: some steps of the recurrence.

Both directions have one frame. The state (of the backward sweep: its cotangent) lies
in the scratch `h`, `c` from the first iteration to the last. Arrays come as named refs;
which names there are tells what the call has: "peephole", "projection", "h_mask",
"lengths", "resets" in; "gates", "cells", "dh" out. All are padded to whole registers,
gates apart, so that cutting out a gate moves nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from kernels.lstm.product import dot
from kernels.lstm.tpu_memory import LANES
from kernels.lstm.tpu_tiles import FEW

Refs = dict[str, Any]
PIECE = 256  # cells: 128 keep the matrix units waiting, 512 spill registers
StepOf = Callable[[int, Any, Refs, Refs, Any, Any], None]


class Walk(NamedTuple):
    """In which order a kernel meets the steps."""

    block: int  # steps of one iteration
    blocks: int
    down: bool  # from the last step to the first

    def block_at(self, iteration):
        """Which block of time an iteration works on."""
        return self.blocks - 1 - iteration if self.down else iteration

    def inside(self) -> Iterator[int]:
        """The steps of a block, in order."""
        steps = range(self.block)
        return reversed(steps) if self.down else iter(steps)


def sweep(step: StepOf, walk: Walk, ins: Refs, outs: Refs, h: Any, c: Any) -> None:
    """The frame: takes the state in, walks through a block, gives the state out."""
    iteration = pl.program_id(1)

    @pl.when(iteration == 0)
    def _():
        h[...] = ins["h"][...]
        c[...] = ins["c"][...]

    first = walk.block_at(iteration) * walk.block
    for k in walk.inside():
        step(k, first + k, ins, outs, h, c)

    @pl.when(iteration == walk.blocks - 1)
    def _():
        outs["h"][...] = h[...]
        outs["c"][...] = c[...]


def forward_step(k: int, t: Any, ins: Refs, outs: Refs, h: Any, c: Any) -> None:
    """Step t, the k-th of its block. Equations: spec.py."""
    dtype, resets, lengths = h.dtype, ins.get("resets"), ins.get("lengths")
    begins = None if resets is None else _begins(t, resets)
    seen = _unless(begins, h[...])
    seen = seen * ins["h_mask"][...] if "h_mask" in ins else seen
    pieces = []
    for columns in _pieces(c):
        c_in = _unless(begins, c[:, columns])
        gates, c_new = _activated(k, ins, columns, seen, c_in)
        pieces.append((gates[3] * jnp.tanh(c_new)).astype(dtype))
        if "gates" in outs:
            for slab, gate in zip(_slabs(columns, c), gates, strict=True):
                outs["gates"][k, :, slab] = gate.astype(dtype)
        if "cells" in outs:
            outs["cells"][k, :, columns] = c_in
        c[:, columns] = _while(t, lengths, c_new, c[:, columns])
    out = jnp.concatenate(pieces, axis=1)
    if "projection" in ins:
        out = dot(out, ins["projection"][...]).astype(dtype)
    outs["y"][k] = _while(t, lengths, out, jnp.zeros_like(out))
    h[...] = _while(t, lengths, out, h[...])


def backward_step(k: int, t: Any, ins: Refs, outs: Refs, h: Any, c: Any) -> None:
    """The same for cotangents: h and c are those of the state after step t."""
    narrow, resets, lengths = outs["dz"].dtype, ins.get("resets"), ins.get("lengths")
    begins = None if resets is None else _begins(t, resets)
    dh = through = h[...] + ins["dy"][k].astype(h.dtype)
    if "projection" in ins:
        through = dot(dh.astype(narrow), ins["projection"][...])
        outs["dh"][k] = _while(t, lengths, dh, jnp.zeros_like(dh)).astype(narrow)
    for columns in _pieces(c):
        after = c[:, columns]
        dz, dc = _through_gates(k, ins, columns, through[:, columns], after)
        for slab, part in zip(_slabs(columns, c), dz, strict=True):
            part = _while(t, lengths, part, jnp.zeros_like(part))
            outs["dz"][k, :, slab] = part.astype(narrow)
        c[:, columns] = _while(t, lengths, _unless(begins, dc), after)
    for columns in _products(h, narrow):
        before = dot(outs["dz"][k], ins["wh"][:, columns])
        if "h_mask" in ins:
            before = before * ins["h_mask"][:, columns].astype(before.dtype)
        after = h[:, columns]
        h[:, columns] = _while(t, lengths, _unless(begins, before), after)


def _activated(k: int, ins: Refs, columns: slice, seen: jax.Array, c: jax.Array):
    """The gates i, f, g, o of some cells, and their new c."""
    slabs = _slabs(columns, ins["c"])
    z = [ins["xp"][k, :, slab].astype(c.dtype) for slab in slabs]
    for depth in _depths(seen):
        for n, slab in enumerate(slabs):
            z[n] += dot(seen[:, depth], _part(ins["wh"], depth, slab, seen.dtype))
    peephole = ins["peephole"][:, columns] if "peephole" in ins else None
    return activate(z, c, peephole)


def activate(z: Sequence[jax.Array], c: jax.Array, peephole: jax.Array | None):
    """cell.activate for gates that lie apart."""
    z_i, z_f, z_g, z_o = z
    if peephole is not None:
        z_i, z_f = z_i + peephole[0:1] * c, z_f + peephole[1:2] * c
    i, f, g = _sigmoid(z_i), _sigmoid(z_f), jnp.tanh(z_g)
    c = f * c + i * g
    if peephole is not None:
        z_o = z_o + peephole[2:3] * c
    return (i, f, g, _sigmoid(z_o)), c


def _through_gates(k: int, ins: Refs, columns: slice, d_out: jax.Array, dc: jax.Array):
    """dz of each gate of some cells, and the cotangent of the c that entered."""
    gates = [
        ins["gates"][k, :, slab].astype(dc.dtype) for slab in _slabs(columns, ins["c"])
    ]
    peephole = ins["peephole"][:, columns] if "peephole" in ins else None
    return through_gates(gates, ins["cells"][k, :, columns], d_out, dc, peephole)


def through_gates(
    gates: Sequence[jax.Array],
    c: jax.Array,
    d_out: jax.Array,
    dc: jax.Array,
    peephole: jax.Array | None,
):
    """cell.backward for gates that lie apart."""
    i, f, g, o = gates
    squashed = jnp.tanh(f * c + i * g)
    dz_o = d_out * squashed * o * (1 - o)
    dc = dc + d_out * o * (1 - squashed * squashed)
    if peephole is not None:
        dc = dc + dz_o * peephole[2:3]
    dz_i, dz_f, dz_g = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g)
    dc = dc * f
    if peephole is not None:
        dc = dc + dz_i * peephole[0:1] + dz_f * peephole[1:2]
    return (dz_i, dz_f, dz_g, dz_o), dc


def _sigmoid(z: jax.Array) -> jax.Array:
    """One tanh, which the hardware has; no division and no overflow."""
    return 0.5 * jnp.tanh(0.5 * z) + 0.5


def _pieces(c: Any) -> Iterator[slice]:
    """Some cells at a time: while one piece is squashed, the next is multiplied, and
    what lies between is small enough for registers."""
    hidden = c.shape[-1]
    for start in range(0, hidden, PIECE):
        yield slice(start, min(start + PIECE, hidden))


def _products(h: Any, dtype: Any) -> Iterator[slice]:
    """Columns of dh to multiply at once. Of float32, whose factors are split in three,
    a piece: all of 768 spilled 78 bytes a row and cell on a v7x, pieces 26. In 16 bits
    pieces spill as much as the whole, and take up to 2 % more cycles."""
    return _pieces(h) if dtype == jnp.float32 else iter([slice(0, h.shape[-1])])


def _depths(seen: jax.Array) -> Iterator[slice]:
    """Columns of h to multiply at once, those first that the step before made first:
    its last are squashed meanwhile. Sums of more than FEW rows would spill, and those
    of float32 do: 80 rows of 640 cells 6.2 MiB on a v4, in one product 1.5."""
    rows, size = seen.shape
    piece = PIECE if rows <= FEW and seen.dtype != jnp.float32 else size
    for start in range(0, size, piece):
        yield slice(start, min(start + piece, size))


def _part(wh: Any, rows: slice, columns: slice, dtype: Any) -> jax.Array:
    """Some of wh, which may come as tpu_tiles.paired has made it."""
    if wh.dtype == dtype:
        return wh[rows, columns]
    pairs = slice(rows.start // 2, rows.stop // 2)
    return pltpu.bitcast(wh[pairs, columns], dtype)


def _slabs(cells: slice, c: Any) -> list[slice]:
    """The columns of these cells in each of the four gates."""
    hidden = c.shape[-1]
    return [slice(n * hidden + cells.start, n * hidden + cells.stop) for n in range(4)]


def _while(t: Any, lengths: Any, then: jax.Array, otherwise: jax.Array) -> jax.Array:
    """`then` in the rows that step t lies in; lengths [rows, 1]."""
    if lengths is None:
        return then
    within = jnp.broadcast_to(lengths[...], then.shape) > t
    return jnp.where(within, then, otherwise)


def _unless(begins: jax.Array | None, state: jax.Array) -> jax.Array:
    """Zero in the rows in which a sequence begins."""
    if begins is None:
        return state
    spread = jnp.broadcast_to(begins, state.shape) > 0.5
    return jnp.where(spread, jnp.zeros_like(state), state)


def _begins(t: Any, resets: Any) -> jax.Array:
    """[rows, 1], 1.0 where step t begins a sequence; resets [rows, LANES] of steps."""
    flags = resets[...]
    lane = lax.broadcasted_iota(jnp.int32, flags.shape, 1)
    here = lane == (t & (LANES - 1))  # `%` compiles only on a TPU's own host
    return jnp.sum(jnp.where(here, flags, 0.0), axis=1, keepdims=True)
