"""A loop over time for cells that have no fused kernel."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from kernels.lstm import steps

State = Any  # a pytree of arrays with the batch first


def recur(
    step: Callable[[State, Any], State],
    output: Callable[[State], jax.Array],
    inputs: Any,
    state: State,
    lengths: jax.Array | None = None,
    resets: jax.Array | None = None,
    reverse: bool = False,
) -> tuple[jax.Array, State]:
    """Runs a cell, with the contract of `kernels.lstm` for lengths and resets.

    Args:
      step: (state, inputs of a step) → the next state.
      output: what y shows of the state after a step, [batch, width].
      inputs: arrays [batch, time, ..]. Past a row's end they must be finite, or the
        gradient is not.
      reverse: each row from its last valid step to its first.

    Returns:
      y [batch, time, width], zero past a row's end, and the last state.
    """
    time = jax.tree.leaves(inputs)[0].shape[1]
    inputs = jax.tree.map(lambda a: a.swapaxes(0, 1), inputs)
    valid = steps.valid_steps(lengths, time)
    flags = None if resets is None else resets.swapaxes(0, 1)

    def one(before: State, given):
        here, valid, reset = given
        start = before
        if reset is not None:
            start = jax.tree.map(lambda a: steps.where(~reset, a, 0), before)
        after = step(start, here)
        shown = steps.where(valid, output(after), 0)
        after = jax.tree.map(lambda a, b: steps.where(valid, a, b), after, before)
        return after, shown

    last, y = lax.scan(one, state, (inputs, valid, flags), reverse=reverse)
    return y.swapaxes(0, 1), last


def without_padding(x: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """x [batch, time, ..] with zeros past each row's end, whatever was there."""
    valid = steps.valid_steps(lengths, x.shape[1])
    return x if valid is None else steps.where(valid.T, x, 0)
