"""What one iteration of a TPU kernel's grid does: some steps of the recurrence.

Both directions have one frame. The state (of the backward sweep: its cotangent) lies
in the scratch `h`, `c` from the first iteration to the last. Arrays come as named refs;
which names there are tells what the call has: "peephole", "projection", "h_mask",
"lengths", "resets" in; "gates", "cells", "dh" out. All are padded to whole registers,
gates apart, so that cutting out a gate moves nothing.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from kernels.lstm.tpu_tiles import LANES

Refs = dict[str, Any]
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
    h_old, c_old = h[...], c[...]
    h_in, c_in = h_old, c_old
    if "resets" in ins:
        begins = _begins(t, ins["resets"])
        h_in = jnp.where(_spread(begins, h_in), jnp.zeros_like(h_in), h_in)
        c_in = jnp.where(_spread(begins, c_in), jnp.zeros_like(c_in), c_in)
    seen = h_in * ins["h_mask"][...] if "h_mask" in ins else h_in
    z = ins["xp"][k].astype(c_in.dtype) + _dot(seen, ins["wh"][...])
    gates, c_new = _activated(z, c_in, ins.get("peephole"))
    out = (gates[3] * jnp.tanh(c_new)).astype(h_old.dtype)
    h_new = out
    if "projection" in ins:
        h_new = _dot(out, ins["projection"][...]).astype(h_old.dtype)
    if "gates" in outs:
        for which, gate in enumerate(gates):
            outs["gates"][k, :, _slab(which, c)] = gate.astype(h_old.dtype)
    if "cells" in outs:
        outs["cells"][k] = c_in
    if "lengths" not in ins:
        outs["y"][k], h[...], c[...] = h_new, h_new, c_new
        return
    valid = ins["lengths"][...]
    outs["y"][k] = jnp.where(_within(t, valid, h), h_new, jnp.zeros_like(h_new))
    h[...] = jnp.where(_within(t, valid, h), h_new, h_old)
    c[...] = jnp.where(_within(t, valid, c), c_new, c_old)


def backward_step(k: int, t: Any, ins: Refs, outs: Refs, h: Any, c: Any) -> None:
    """The same for cotangents: h and c are those of the state after step t."""
    dh_after, dc_after = h[...], c[...]
    dh = dh_after + ins["dy"][k].astype(h.dtype)
    through = dh
    if "projection" in ins:
        narrow = outs["dz"].dtype
        through = _dot(dh.astype(narrow), ins["projection"][...])
        outs["dh"][k] = _kept(t, ins, dh).astype(narrow)
    dz, dc = _through_gates(k, ins, c, through, dc_after)
    for which, part in enumerate(dz):
        outs["dz"][k, :, _slab(which, c)] = _kept(t, ins, part).astype(outs["dz"].dtype)
    before = _dot(outs["dz"][k], ins["wh"][...])
    if "h_mask" in ins:
        before = before * ins["h_mask"][...].astype(before.dtype)
    if "resets" in ins:
        begins = _begins(t, ins["resets"])
        before = jnp.where(_spread(begins, before), jnp.zeros_like(before), before)
        dc = jnp.where(_spread(begins, dc), jnp.zeros_like(dc), dc)
    if "lengths" in ins:
        valid = ins["lengths"][...]
        before = jnp.where(_within(t, valid, h), before, dh_after)
        dc = jnp.where(_within(t, valid, c), dc, dc_after)
    h[...], c[...] = before, dc


def _activated(z: jax.Array, c: jax.Array, peephole: Any):
    """The gates i, f, g, o apart, and the new c."""
    hidden = c.shape[-1]
    z_i, z_f, z_g, z_o = (z[:, n * hidden : (n + 1) * hidden] for n in range(4))
    if peephole is not None:
        z_i, z_f = z_i + peephole[0:1, :] * c, z_f + peephole[1:2, :] * c
    i, f, g = _sigmoid(z_i), _sigmoid(z_f), jnp.tanh(z_g)
    c = f * c + i * g
    if peephole is not None:
        z_o = z_o + peephole[2:3, :] * c
    return (i, f, g, _sigmoid(z_o)), c


def _through_gates(k: int, ins: Refs, like: Any, d_out: jax.Array, dc: jax.Array):
    """dz of each gate, and the cotangent of the c that entered the step."""
    i, f, g, o = (
        ins["gates"][k, :, _slab(which, like)].astype(like.dtype) for which in range(4)
    )
    c = ins["cells"][k]
    squashed = jnp.tanh(f * c + i * g)
    dz_o = d_out * squashed * o * (1 - o)
    dc = dc + d_out * o * (1 - squashed * squashed)
    peephole = ins.get("peephole")
    if peephole is not None:
        dc = dc + dz_o * peephole[2:3, :]
    dz_i, dz_f, dz_g = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g)
    dc = dc * f
    if peephole is not None:
        dc = dc + dz_i * peephole[0:1, :] + dz_f * peephole[1:2, :]
    return (dz_i, dz_f, dz_g, dz_o), dc


def _sigmoid(z: jax.Array) -> jax.Array:
    """One tanh, which the hardware has; no division and no overflow."""
    return 0.5 * jnp.tanh(0.5 * z) + 0.5


def _dot(left: jax.Array, right: jax.Array) -> jax.Array:
    """Sums are wide; the matrix units would round float32 factors if not told."""
    exact = None if left.dtype.itemsize < 4 else lax.Precision.HIGHEST
    precise = jnp.promote_types(left.dtype, jnp.float32)
    return jnp.dot(left, right, precision=exact, preferred_element_type=precise)


def _slab(which: int, like: Any) -> slice:
    """The columns of a gate."""
    hidden = like.shape[-1]
    return slice(which * hidden, (which + 1) * hidden)


def _kept(t: Any, ins: Refs, values: jax.Array) -> jax.Array:
    """Zero where a row has ended."""
    if "lengths" not in ins:
        return values
    within = _within(t, ins["lengths"][...], values)
    return jnp.where(within, values, jnp.zeros_like(values))


def _within(t: Any, lengths: jax.Array, like: Any) -> jax.Array:
    """Whether step t lies in each row, spread over columns; lengths [rows, 1]."""
    return jnp.broadcast_to(lengths, like.shape) > t


def _begins(t: Any, resets: Any) -> jax.Array:
    """[rows, 1], 1.0 where step t begins a sequence; resets [rows, LANES] of steps."""
    flags = resets[...]
    lane = lax.broadcasted_iota(jnp.int32, flags.shape, 1)
    here = lane == (t & (LANES - 1))  # `%` compiles only on a TPU's own host
    return jnp.sum(jnp.where(here, flags, 0.0), axis=1, keepdims=True)


def _spread(begins: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.broadcast_to(begins, like.shape) > 0.5
