"""The derivatives of a call, first and second, whatever loop it runs.

`_outputs` is what a call runs. Differentiated, it becomes `_swept`, which also keeps
residuals, and `_gradients`. Both are wrapped ops with rules of their own, so that a
gradient can be differentiated again although the loops inside are opaque to jax:
`_swept` by `_gradients`, `_gradients` by differentiating the reference twice. Residuals
are functions of the operands, and the rules count every dependence through the
operands: cotangents of residuals are zero.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from kernels.lstm import dispatch, gradients, reference
from kernels.lstm.backend import Streamed, Swept
from kernels.lstm.spec import LstmState, Masks, Operands, wide


class Plan(NamedTuple):
    """The static part of a call, once everything is chosen."""

    backend: str
    residuals: str
    reverse: bool
    streams: bool


def run(plan: Plan, operands: Operands, masks: Masks) -> tuple[jax.Array, LstmState]:
    """y and the last state, all arrays time-major; differentiable twice."""
    if dispatch.find(plan.backend).forward is None:
        return reference.lstm(operands, masks, plan.reverse, plan.residuals)
    return _outputs(plan, operands, masks)


def in_blocks(
    plan: Plan, operands: Operands, masks: Masks
) -> tuple[jax.Array, LstmState]:
    """Runs blocks of √time steps, of which only the first state is remembered."""
    time, batch = operands.x.shape[:2]
    block = max(1, math.isqrt(max(time - 1, 0)) + 1)
    blocks = -(-time // block)
    spare = blocks * block - time
    lengths, inner = masks.lengths, plan._replace(residuals="store")
    if spare and lengths is None:
        lengths = jnp.full(batch, time)

    # Without an axis of batch: with one of length 1 XLA on CPU gave the loops another
    # layout and copied all of x and y, 67 MB each at 65,536 steps of 256.
    def blocked(array: jax.Array | None) -> jax.Array | None:
        if array is None:
            return None
        if spare:
            array = jnp.pad(array, ((0, spare),) + ((0, 0),) * (array.ndim - 1))
        return array.reshape(blocks, block * batch, *array.shape[2:])

    # Weight gradients are added up from block to block: in float32, see reference.py.
    weights = operands.weights
    wider = jax.tree.map(lambda w: w.astype(wide(w.dtype)), weights)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def one(state: LstmState, inputs):
        x, resets, start = inputs
        narrow = jax.tree.map(lambda w, old: w.astype(old.dtype), wider, weights)
        here = None
        if lengths is not None:  # those above time would count the padding
            here = jnp.clip(lengths - start, 0, jnp.minimum(block, time - start))
        x = x.reshape(block, batch, x.shape[-1])
        if resets is not None:
            resets = resets.reshape(block, batch)
        part = Operands(x, narrow, state, operands.h_mask)
        y, state = run(inner, part, Masks(here, resets))
        return state, y.reshape(block * batch, y.shape[-1])

    inputs = (blocked(operands.x), blocked(masks.resets), jnp.arange(blocks) * block)
    last, y = lax.scan(one, operands.state, inputs, reverse=plan.reverse)
    return y.reshape(blocks * block, batch, y.shape[-1])[:time], last


def _sweep(plan: Plan, operands: Operands, masks: Masks, keep: str | None) -> Swept:
    if plan.streams:
        xp = Streamed(operands.x, operands.weights)
    else:
        xp = gradients.input_gates(operands.x, operands.weights)
    forward = dispatch.find(plan.backend).forward
    assert forward is not None
    return forward(xp, gradients.core(operands, masks), plan.reverse, keep)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _outputs(
    plan: Plan, operands: Operands, masks: Masks
) -> tuple[jax.Array, LstmState]:
    """y and the last state, and nothing kept."""
    swept = _sweep(plan, operands, masks, keep=None)
    return swept.y, swept.last


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _swept(plan: Plan, operands: Operands, masks: Masks) -> Swept:
    """The same with residuals."""
    keep = "gates" if plan.residuals == "store" else "cells"
    return _sweep(plan, operands, masks, keep)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _gradients(
    plan: Plan, operands: Operands, masks: Masks, swept: Swept, cotangents
) -> Operands:
    """Cotangents of the operands from (dy, dlast)."""
    dy, dlast = cotangents
    cells = swept.cells
    assert cells is not None
    h = gradients.entering_h(swept.y, operands, masks, plan.reverse)
    gates = swept.gates
    if gates is None:
        gates = gradients.recomputed(operands, h, cells)
    backend = dispatch.find(plan.backend)
    assert backend.backward is not None
    core = gradients.core(operands, masks)
    back = backend.backward(gates, cells, core, plan.reverse, dy, dlast)
    products = backend.weight_gradients or gradients.weight_gradients
    return gradients.deferred(operands, h, gates, cells, back, products)


def _outputs_forward(plan: Plan, operands: Operands, masks: Masks):
    swept: Swept = _swept(plan, operands, masks)
    return (swept.y, swept.last), (operands, masks, swept)


def _outputs_backward(plan: Plan, saved, cotangents):
    operands, masks, swept = saved
    # Or a second derivative would sweep back once more, with zeros.
    swept = lax.stop_gradient(swept)
    return _gradients(plan, operands, masks, swept, cotangents), None


def _swept_forward(plan: Plan, operands: Operands, masks: Masks):
    swept: Swept = _swept(plan, operands, masks)
    # jax 0.10.2 mixes up residuals that are the rule's own arguments when a second
    # derivative goes through a scan: the barrier makes new values of them. It costs
    # nothing in first order, where this rule is not run.
    return swept, lax.optimization_barrier((operands, masks, swept))


def _swept_backward(plan: Plan, saved, cotangents: Swept):
    return _outputs_backward(plan, saved, (cotangents.y, cotangents.last))


def _gradients_forward(plan, operands, masks, swept, cotangents):
    result = _gradients(plan, operands, masks, swept, cotangents)
    return result, (operands, masks, cotangents)


def _gradients_backward(plan: Plan, saved, ct: Operands):
    operands, masks, cotangents = saved

    def first(operands, cotangents):
        run = functools.partial(reference.lstm, masks=masks, reverse=plan.reverse)
        return jax.vjp(run, operands)[1](cotangents)[0]

    d_operands, d_cotangents = jax.vjp(first, operands, cotangents)[1](ct)
    return d_operands, None, None, d_cotangents


_outputs.defvjp(_outputs_forward, _outputs_backward)
_swept.defvjp(_swept_forward, _swept_backward)
_gradients.defvjp(_gradients_forward, _gradients_backward)
