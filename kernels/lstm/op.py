"""`lstm`, `lstm_cell` and `explain`: checks, the choice of a backend, the call."""

import jax

from kernels import target
from kernels.lstm import choices, derivatives, dispatch, pallas_cell, reference, steps
from kernels.lstm.derivatives import Plan
from kernels.lstm.spec import (
    Case,
    LstmState,
    LstmWeights,
    Masks,
    Operands,
    check_inputs,
    zero_state,
)


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
      backend: a name of `dispatch.BACKENDS`, or `package.module` holding a `BACKEND`;
        None takes the first that supports the case (see `explain`).

    Returns:
      y [batch, time, projected], in x's order of axes, and the last state.

    Raises:
      ValueError: shapes, dtypes, lengths or names that break a rule above.
      UnsupportedCase: the named backend cannot do this case.
    """
    check_inputs(x, weights, state, lengths, resets, h_mask, time_major)
    case = _case(x, weights, lengths, resets, h_mask, reverse, time_major)
    name = dispatch.chosen(case, backend)
    choices.note(case, name)
    streams = dispatch.find(name).streams
    wanted = streams is not None and streams(case)
    plan = Plan(name, dispatch.policy(residuals, name), reverse, wanted)
    state = zero_state(x, weights, time_major) if state is None else state
    if not time_major:
        x = x.swapaxes(0, 1)
        resets = None if resets is None else resets.swapaxes(0, 1)
    # Padding may hold anything, but 0·NaN would get through the weight gradients.
    x = steps.where(steps.valid_steps(lengths, len(x)), x, 0)
    run = derivatives.in_blocks if plan.residuals == "checkpoint" else derivatives.run
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
    plan = Plan(dispatch.chosen(case, backend), "store", reverse=False, streams=False)
    operands = Operands(x[None], weights, state, h_mask)
    _, state = derivatives.run(plan, operands, Masks(None, None))
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
      For each backend, in order of preference: "taken" (and what slows it down, as
      "taken, wh streamed from HBM at each step: …"), "able", or why it cannot, or is
      not taken by itself.
    """
    check_inputs(x, weights, None, lengths, resets, h_mask, time_major)
    case = _case(x, weights, lengths, resets, h_mask, reverse, time_major)
    taken = dispatch.chosen(case, None)
    return {
        name: dispatch.told(backend, case, name == taken)
        for name, backend in dispatch.BACKENDS.items()
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
