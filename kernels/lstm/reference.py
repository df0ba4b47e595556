"""The meaning: one plain lax.scan over `step`, differentiated by jax itself.

Also the one backend with forward mode (jax.jvp) and with any order of derivative for
free. Slow: x·wx runs inside the loop, and autodiff sums dwh there as well.
"""

import jax
from jax import lax

from kernels.lstm import cell, steps
from kernels.lstm.product import dot
from kernels.lstm.spec import Case, LstmState, LstmWeights, Masks, Operands, wide


def supports(case: Case) -> str | None:
    """Everything that passes `check_inputs`."""
    return None


def step(
    x: jax.Array, state: LstmState, weights: LstmWeights, h_mask: jax.Array | None
) -> LstmState:
    """The equations of spec.py for x [batch, features]."""
    precise = wide(x.dtype)
    h = state.h if h_mask is None else state.h * h_mask
    z = dot(x, weights.wx)
    z += dot(h, weights.wh)
    z += weights.b.astype(precise)
    peephole = weights.peephole
    if peephole is not None:
        peephole = peephole.astype(precise)
    gates, c = cell.activate(z, state.c, peephole)
    h = cell.output(gates, c).astype(x.dtype)
    if weights.projection is not None:
        h = dot(h, weights.projection)
    return LstmState(h.astype(x.dtype), c)


def lstm(
    operands: Operands, masks: Masks, reverse: bool, residuals: str = "store"
) -> tuple[jax.Array, LstmState]:
    """y [time, batch, projected] and the last state."""
    x, weights, state, h_mask = operands
    valid = steps.valid_steps(masks.lengths, len(x))
    # Autodiff adds up weight gradients in the dtype in which the weights enter the
    # loop: in bfloat16 dwh was 5 % off after 2,048 steps, in float32 0.3 %.
    wider = jax.tree.map(lambda w: w.astype(wide(w.dtype)), weights)

    def one(before: LstmState, inputs):
        x, valid, reset = inputs
        narrow = jax.tree.map(lambda w, old: w.astype(old.dtype), wider, weights)
        start = before
        if reset is not None:
            start = LstmState(*(steps.where(~reset, a, 0) for a in before))
        after = step(x, start, narrow, h_mask)
        kept = LstmState(
            steps.where(valid, after.h, before.h), steps.where(valid, after.c, before.c)
        )
        return kept, steps.where(valid, after.h, 0)

    one = jax.checkpoint(one) if residuals == "recompute" else one
    last, y = lax.scan(one, state, (x, valid, masks.resets), reverse=reverse)
    return y, last
