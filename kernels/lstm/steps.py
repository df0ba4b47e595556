"""Lengths and resets as masks over steps, and sequences seen one step earlier."""

import jax
import jax.numpy as jnp


def valid_steps(lengths: jax.Array | None, time: int) -> jax.Array | None:
    """[time, batch], True up to each row's length; None where all steps are."""
    if lengths is None:
        return None
    return jnp.arange(time)[:, None] < lengths


def where(mask: jax.Array | None, then: jax.Array, otherwise) -> jax.Array:
    """jnp.where with the mask spread over trailing axes; `then` without a mask."""
    if mask is None:
        return then
    spread = mask.reshape(mask.shape + (1,) * (then.ndim - mask.ndim))
    return jnp.where(spread, then, otherwise)


def entering(
    y: jax.Array,
    h: jax.Array,
    valid: jax.Array | None,
    resets: jax.Array | None,
    reverse: bool,
) -> jax.Array:
    """The h that enters each step, [time, batch, projected].

    Args:
      y: [time, batch, projected], the outputs.
      h: [batch, projected], the initial state.
      valid, resets: [time, batch] or None.
      reverse: whether steps are taken from the last to the first.
    """
    before = y[1:] if reverse else y[:-1]
    if reverse and valid is not None:  # a row's first step comes after its padding
        before = where(valid[1:], before, h)
    ends = (before, h[None]) if reverse else (h[None], before)
    taken = jnp.concatenate(ends)[: len(y)]
    return taken if resets is None else where(~resets, taken, 0)
