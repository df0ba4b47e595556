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

from kernels.lstm import cell, steps
from kernels.lstm.backend import Core, Swept, SweptBack
from kernels.lstm.spec import Case, LstmState, wide


def supports(case: Case) -> str | None:
    """Everything that passes `check_inputs`."""
    return None


def forward(xp: jax.Array, core: Core, reverse: bool, keep: str | None) -> Swept:
    """Runs the recurrence over xp = x·wx + b, [time, batch, 4·hidden].

    Args:
      keep: None, "cells" (for `recompute`) or "gates" (both, for `store`).
    """
    dtype, precise = xp.dtype, wide(xp.dtype)
    valid = steps.valid_steps(core.masks.lengths, len(xp))

    def one(before: LstmState, inputs):
        xp, valid, reset = inputs
        h, c = before
        if reset is not None:
            h, c = steps.where(~reset, h, 0), steps.where(~reset, c, 0)
        seen = h if core.h_mask is None else h * core.h_mask
        z = xp + jnp.dot(seen, core.wh, preferred_element_type=precise)
        gates, c_new = cell.activate(z, c, core.peephole)
        h_new = cell.output(gates, c_new).astype(dtype)
        if core.projection is not None:
            h_new = jnp.dot(h_new, core.projection, preferred_element_type=precise)
            h_new = h_new.astype(dtype)
        after = LstmState(
            steps.where(valid, h_new, before.h), steps.where(valid, c_new, before.c)
        )
        kept = (
            gates.astype(dtype) if keep == "gates" else None,
            c if keep is not None else None,
        )
        return after, (steps.where(valid, h_new, 0), *kept)

    inputs = (xp, valid, core.masks.resets)
    last, (y, gates, cells) = lax.scan(one, core.state, inputs, reverse=reverse)
    return Swept(y, last, gates, cells)


def backward(
    gates: jax.Array,
    cells: jax.Array,
    core: Core,
    reverse: bool,
    dy: jax.Array,
    dlast: LstmState,
) -> SweptBack:
    """Runs the recurrence of the cotangents, from the last step taken to the first.

    Args:
      gates, cells: as in Swept; gates may be of x's dtype or wide.
      reverse: of the *forward* sweep.
      dy: [time, batch, projected], cotangent of y.
      dlast: cotangents of the last state.
    """
    dtype, precise = core.wh.dtype, cells.dtype
    valid = steps.valid_steps(core.masks.lengths, len(dy))

    def one(after: LstmState, inputs):
        gates, c, dy, valid, reset = inputs
        dh = after.h + dy.astype(precise)
        through = dh
        if core.projection is not None:
            back = core.projection.T
            through = jnp.dot(dh.astype(dtype), back, preferred_element_type=precise)
        gates = gates.astype(precise)
        dz, dc = cell.backward(gates, c, through, after.c, core.peephole)
        dz = steps.where(valid, dz, 0)
        before = jnp.dot(dz.astype(dtype), core.wh.T, preferred_element_type=precise)
        before = before if core.h_mask is None else before * core.h_mask
        if reset is not None:
            before, dc = steps.where(~reset, before, 0), steps.where(~reset, dc, 0)
        carried = LstmState(
            steps.where(valid, before, after.h), steps.where(valid, dc, after.c)
        )
        if core.projection is None:
            return carried, (dz.astype(dtype), None)
        return carried, (dz.astype(dtype), steps.where(valid, dh, 0).astype(dtype))

    start = LstmState(*(a.astype(precise) for a in dlast))
    inputs = (gates, cells, dy, valid, core.masks.resets)
    initial, (dz, dh) = lax.scan(one, start, inputs, reverse=not reverse)
    return SweptBack(dz, dh, initial)
