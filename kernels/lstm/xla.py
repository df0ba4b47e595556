"""The recurrent core in plain JAX: what has to run step by step, and no more.

forward   z = xp + (h·h_mask)·wh, gates, c, h        one GEMM a step
backward  dz, and through wh the cotangent of h      one GEMM a step

The rest (x·wx before, the weight gradients after) is in gradients.py, as GEMMs over
all steps. Both loops emit what they computed and add nothing up: a [hidden, 4·hidden]
sum carried through the backward loop costs as much time as its GEMM.
"""

import jax
import jax.numpy as jnp
from jax import lax

from kernels.lstm import cell, gradients, steps
from kernels.lstm.backend import Core, Streamed, Swept, SweptBack
from kernels.lstm.product import dot
from kernels.lstm.spec import Case, LstmState


def supports(case: Case) -> str | None:
    """Everything that passes `check_inputs`."""
    return None


def streams(case: Case) -> bool:
    """On CPU xp is memory written and read again for nothing, where wx stays in cache.

    Forward on two cores, x·wx in the loop against before it: 84 ms against 114 for
    words, 80 against 135 for pixels; but 116 against 59 for words_wide, whose wx of
    6.8 MB is fetched anew each step, and 23 against 13 for one_stream (see cases.py).
    """
    wx_bytes = case.features * 4 * case.hidden * jnp.dtype(case.dtype).itemsize
    return case.platform == "cpu" and case.batch >= 16 and wx_bytes <= 2**20


def product_and_cell(core: Core):
    """One step: (z, h, c) → gates, c and o·tanh(c), where z lacks only h·wh."""

    def step(z: jax.Array, seen: jax.Array, c: jax.Array):
        z += dot(seen, core.wh)
        gates, c = cell.activate(z, c, core.peephole)
        return gates, c, cell.output(gates, c)

    return step


def cell_and_product(core: Core):
    """One step back: (gates, c, d_output, dc) → dz, dc and dz·whᵀ, of cell.backward."""
    # Turned once and for all, behind a barrier: left to itself XLA on CPU may fuse the
    # pointwise part into a product with whᵀ, and one row took 10 times as long.
    back = lax.optimization_barrier(core.wh.T)

    def step(gates: jax.Array, c: jax.Array, d_output: jax.Array, dc: jax.Array):
        gates = gates.astype(c.dtype)
        dz, dc = cell.backward(gates, c, d_output, dc, core.peephole)
        dz = dz.astype(core.wh.dtype)
        return dz, dc, dot(dz, back)

    return step


def forward(
    xp: jax.Array | Streamed,
    core: Core,
    reverse: bool,
    keep: str | None,
    step_of=product_and_cell,
) -> Swept:
    """Runs the recurrence.

    Args:
      xp: x·wx + b, [time, batch, 4·hidden], or what it is made of.
      keep: None, "cells" (for `recompute`) or "gates" (both, for `store`).
      step_of: makes the function of one step, as product_and_cell does; its gates are
        read where they are kept.
    """
    sequence, weights = xp if isinstance(xp, Streamed) else (xp, None)
    dtype = sequence.dtype
    valid = steps.valid_steps(core.masks.lengths, len(sequence))
    step = step_of(core)

    def one(before: LstmState, inputs):
        given, valid, reset = inputs
        z = given if weights is None else gradients.input_gates(given, weights)
        h, c = before
        if reset is not None:
            h, c = steps.where(~reset, h, 0), steps.where(~reset, c, 0)
        seen = h if core.h_mask is None else h * core.h_mask
        gates, c_new, h_new = step(z, seen, c)
        h_new = h_new.astype(dtype)
        if core.projection is not None:
            h_new = dot(h_new, core.projection).astype(dtype)
        after = LstmState(
            steps.where(valid, h_new, before.h), steps.where(valid, c_new, before.c)
        )
        kept = (
            gates.astype(dtype) if keep == "gates" else None,
            c if keep is not None else None,
        )
        return after, (steps.where(valid, h_new, 0), *kept)

    inputs = (sequence, valid, core.masks.resets)
    last, (y, gates, cells) = lax.scan(one, core.state, inputs, reverse=reverse)
    return Swept(y, last, gates, cells)


def backward(
    gates: jax.Array,
    cells: jax.Array,
    core: Core,
    reverse: bool,
    dy: jax.Array,
    dlast: LstmState,
    step_of=cell_and_product,
) -> SweptBack:
    """Runs the recurrence of the cotangents, from the last step taken to the first.

    Args:
      gates, cells: as in Swept; gates may be of x's dtype or wide.
      reverse: of the *forward* sweep.
      dy: [time, batch, projected], cotangent of y.
      dlast: cotangents of the last state.
      step_of: makes the function of one step, as cell_and_product does.
    """
    dtype, precise = core.wh.dtype, cells.dtype
    valid = steps.valid_steps(core.masks.lengths, len(dy))
    step = step_of(core)

    def one(after: LstmState, inputs):
        gates, c, dy, valid, reset = inputs
        dh = after.h + dy.astype(precise)
        through = dh
        if core.projection is not None:
            through = dot(dh.astype(dtype), core.projection.T)
        dz, dc, before = step(gates, c, through, after.c)
        dz = steps.where(valid, dz, 0)
        before = before if core.h_mask is None else before * core.h_mask
        if reset is not None:
            before, dc = steps.where(~reset, before, 0), steps.where(~reset, dc, 0)
        carried = LstmState(
            steps.where(valid, before, after.h), steps.where(valid, dc, after.c)
        )
        if core.projection is None:
            return carried, (dz, None)
        return carried, (dz, steps.where(valid, dh, 0).astype(dtype))

    start = LstmState(*(a.astype(precise) for a in dlast))
    inputs = (gates, cells, dy, valid, core.masks.resets)
    initial, (dz, dh) = lax.scan(one, start, inputs, reverse=not reverse)
    return SweptBack(dz, dh, initial)
