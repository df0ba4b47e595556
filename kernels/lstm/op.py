"""`lstm`, `lstm_cell` and `explain`: checks, the choice of a backend, derivatives.

The ladder of derivatives. `_outputs` is what a call runs. Differentiated, it becomes
`_swept`, which also keeps residuals, and `_gradients`. Both are wrapped ops with
rules of their own, so that a gradient can be differentiated again although the loops
inside are opaque to jax: `_swept` by `_gradients`, `_gradients` by differentiating
the reference twice. Residuals are functions of the operands, and the rules count every
dependence through the operands: cotangents of residuals are zero.
"""

import functools
import importlib
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from kernels import target
from kernels.lstm import (
    choices,
    gradients,
    native,
    pallas_cell,
    pallas_gpu,
    pallas_tpu,
    reference,
    steps,
    xla,
)
from kernels.lstm.backend import Backend, Streamed, Swept
from kernels.lstm.spec import (
    POLICIES,
    Case,
    LstmState,
    LstmWeights,
    Masks,
    Operands,
    UnsupportedCase,
    check_inputs,
    wide,
    zero_state,
)

# In the order of preference: without a name the first that supports the case is taken.
BACKENDS: dict[str, Backend] = {
    "pallas_tpu": pallas_tpu.BACKEND,
    "pallas_gpu": pallas_gpu.BACKEND,
    "native": native.BACKEND,
    "xla": Backend(xla.supports, xla.forward, xla.backward, "store", xla.streams),
    "reference": Backend(reference.supports, None, None, "store"),
}


class Plan(NamedTuple):
    """The static part of a call, once everything is chosen."""

    backend: str
    residuals: str
    reverse: bool
    streams: bool


def lstm(
    x: jax.Array,
    weights: LstmWeights,
    state: LstmState | None = None,
    *,
    lengths: jax.Array | None = None,
    resets: jax.Array | None = None,
    h_mask: jax.Array | None = None,
    reverse: bool = False,
    time_major: bool = False,
    residuals: str | None = None,
    backend: str | None = None,
) -> tuple[jax.Array, LstmState]:
    """One layer over whole sequences; the equations are in spec.py.

    Args:
      x: [batch, time, features]; [time, batch, features] if `time_major`. float32,
        bfloat16 or float16 (float64 where jax has it switched on).
      weights: of x's dtype.
      state: before the first step; zeros if None.
      lengths: [batch], whole numbers in [0, time]. Past a row's length outputs are zero
        and the state stays as it was; length 0 gives back the initial state.
      resets: bool, x's first two axes. True zeroes the state before that step: an
        episode or a document begins.
      h_mask: [batch, projected], of x's dtype. Multiplies h on its way into wh and
        nowhere else: variational recurrent dropout.
      reverse: reads each row from its last valid step to its first; outputs stay at
        their own steps, and the last state is the one after the first step.
      time_major: the order of x's, resets' and y's first two axes.
      residuals: what is kept for the gradient. "store": the gates of every step.
        "recompute": states only, the gates come back by one GEMM. "checkpoint": a
        state per block of √time steps. None: the backend's preference.
      backend: a name of `BACKENDS`, or `package.module` holding a `BACKEND`; None
        takes the first that supports the case (see `explain`).

    Returns:
      y [batch, time, projected], in x's order of axes, and the last state.

    Raises:
      ValueError: shapes, dtypes, lengths or names that break a rule above.
      UnsupportedCase: the named backend cannot do this case.
    """
    check_inputs(x, weights, state, lengths, resets, h_mask, time_major)
    case = _case(x, weights, lengths, resets, h_mask, reverse, time_major)
    name = _chosen(case, backend)
    choices.note(case, name)
    streams = _find(name).streams
    wanted = streams is not None and streams(case)
    plan = Plan(name, _policy(residuals, name), reverse, wanted)
    state = zero_state(x, weights, time_major) if state is None else state
    if not time_major:
        x = x.swapaxes(0, 1)
        resets = None if resets is None else resets.swapaxes(0, 1)
    # Padding may hold anything, but 0·NaN would get through the weight gradients.
    x = steps.where(steps.valid_steps(lengths, len(x)), x, 0)
    run = _in_blocks if plan.residuals == "checkpoint" else _run
    y, last = run(plan, Operands(x, weights, state, h_mask), Masks(lengths, resets))
    return y if time_major else y.swapaxes(0, 1), last


def lstm_cell(
    x: jax.Array,
    state: LstmState,
    weights: LstmWeights,
    *,
    h_mask: jax.Array | None = None,
    backend: str | None = None,
) -> tuple[jax.Array, LstmState]:
    """One step, for decoding and for loops of your own.

    On a TPU a fused kernel that streams wh (pallas_cell.py), elsewhere plain JAX.

    Args:
      x: [batch, features].
      state, weights, h_mask: as for `lstm`.
      backend: as for `lstm`, run for one step; None takes what is said above.

    Returns:
      The new h [batch, projected], and the new state.

    Raises:
      ValueError: shapes or dtypes that break a rule.
      UnsupportedCase: the named backend cannot do this case.
    """
    check_inputs(x[None], weights, state, None, None, h_mask, time_major=True)
    case = _case(x[None], weights, None, None, h_mask, False, True)
    if backend is None and pallas_cell.supports(case) is None:
        backend = pallas_cell.__name__
    if backend is None:
        state = reference.step(x, state, weights, h_mask)
        return state.h, state
    plan = Plan(_chosen(case, backend), "store", reverse=False, streams=False)
    operands = Operands(x[None], weights, state, h_mask)
    _, state = _run(plan, operands, Masks(None, None))
    return state.h, state


def explain(
    x: jax.Array,
    weights: LstmWeights,
    *,
    lengths: jax.Array | None = None,
    resets: jax.Array | None = None,
    h_mask: jax.Array | None = None,
    reverse: bool = False,
    time_major: bool = False,
) -> dict[str, str]:
    """Which backend `lstm` would take for these arguments, and why no other.

    Arrays may be jax.ShapeDtypeStruct.

    Returns:
      For each backend, in order of preference: "taken", "able", or why it cannot, or
      is not taken by itself.
    """
    check_inputs(x, weights, None, lengths, resets, h_mask, time_major)
    case = _case(x, weights, lengths, resets, h_mask, reverse, time_major)
    taken = _chosen(case, None)
    return {
        name: "taken" if name == taken else passed_over(backend, case) or "able"
        for name, backend in BACKENDS.items()
    }


def _case(x, weights, lengths, resets, h_mask, reverse, time_major) -> Case:
    time, batch = x.shape[:2] if time_major else (x.shape[1], x.shape[0])
    return Case(
        batch=batch,
        time=time,
        features=x.shape[2],
        hidden=weights.wh.shape[1] // 4,
        projected=weights.wh.shape[0],
        dtype=str(x.dtype),
        peephole=weights.peephole is not None,
        projection=weights.projection is not None,
        lengths=lengths is not None,
        resets=resets is not None,
        h_mask=h_mask is not None,
        reverse=reverse,
        platform=target.platform(),
    )


def _find(name: str) -> Backend:
    if name in BACKENDS:
        return BACKENDS[name]
    if "." in name:
        return importlib.import_module(name).BACKEND
    raise ValueError(
        f"backend {name!r} is not one of {', '.join(BACKENDS)}, nor a package.module"
    )


def able(case: Case) -> list[str]:
    """The backends that can do a case, in order of preference."""
    return [n for n, backend in BACKENDS.items() if backend.supports(case) is None]


def passed_over(backend: Backend, case: Case) -> str | None:
    """Why a backend is not taken without its name; None if it may be."""
    reason = backend.supports(case)
    if reason is None and backend.hesitates is not None:
        return backend.hesitates(case)
    return reason


def _chosen(case: Case, name: str | None) -> str:
    if name is None:
        return next(n for n, b in BACKENDS.items() if passed_over(b, case) is None)
    reason = _find(name).supports(case)
    if reason is not None:
        raise UnsupportedCase(
            f"backend {name!r} cannot do this: {reason}; {', '.join(able(case))} can"
        )
    return name


def _policy(residuals: str | None, backend: str) -> str:
    policy = _find(backend).residuals if residuals is None else residuals
    if policy not in POLICIES:
        raise ValueError(f"residuals is {policy!r}, not one of {', '.join(POLICIES)}")
    return policy


def _run(plan: Plan, operands: Operands, masks: Masks) -> tuple[jax.Array, LstmState]:
    if _find(plan.backend).forward is None:
        return reference.lstm(operands, masks, plan.reverse, plan.residuals)
    return _outputs(plan, operands, masks)


def _in_blocks(
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
        here = None if lengths is None else jnp.clip(lengths - start, 0, block)
        x = x.reshape(block, batch, -1)
        if resets is not None:
            resets = resets.reshape(block, batch)
        part = Operands(x, narrow, state, operands.h_mask)
        y, state = _run(inner, part, Masks(here, resets))
        return state, y.reshape(block * batch, -1)

    inputs = (blocked(operands.x), blocked(masks.resets), jnp.arange(blocks) * block)
    last, y = lax.scan(one, operands.state, inputs, reverse=plan.reverse)
    return y.reshape(blocks * block, batch, y.shape[-1])[:time], last


def _sweep(plan: Plan, operands: Operands, masks: Masks, keep: str | None) -> Swept:
    if plan.streams:
        xp = Streamed(operands.x, operands.weights)
    else:
        xp = gradients.input_gates(operands.x, operands.weights)
    forward = _find(plan.backend).forward
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
    backend = _find(plan.backend)
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
