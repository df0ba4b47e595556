"""Dynamic evaluation: a model that learns from each window once it is scored.

A text is read in order, the state carried along; after each window the weights make one
step along its gradient, each entry divided by its usual size, the root mean square over
training text, and as much again: the mean of all sizes (Krause, Kahembwe, Murray &
Renals 2018, their RMS rule, but without decay, and with that mean where they have a
small ε; Graves 2013 did the like by plain gradients). A byte is told by what stood
before it alone, so the cost is that of a code, as it is of xz, which adapts too.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from research.task import count

# Params, tokens int32 [1, time + 1] and a state → the window's mean nats, the state
# after it.
Cost = Callable[[Any, jax.Array, Any], tuple[jax.Array, Any]]


def read(
    cost: Cost, params: Any, zero: Any, seen: jax.Array, text: jax.Array, rate: float
) -> jax.Array:
    """The cost of each window of a text before it is learned from.

    Args:
      cost: of one window.
      params: the trained weights.
      zero: the state that a text begins with, of one stream.
      seen: windows of the training text, int32 [runs, windows, time + 1]; within a run
        each goes on where the one before ended, and so does its state.
      text: int32 [windows, time + 1], which go on likewise.
      rate: what no weight's change by a gradient of its usual size comes to; half of it
        is the change where that size is the mean one.

    Returns:
      Nats a byte, float32 [windows].
    """
    sizes = usual_sizes(cost, params, zero, seen)
    # Keeps a weight of rare gradients from leaping: a byte's embedding has none at all
    # where the byte was not seen.
    typical = optax.tree.sum(sizes) / count(sizes)
    steps = jax.tree.map(lambda size: rate / (size + typical), sizes)

    def window(carried, tokens):
        params, memory = carried
        (nats, memory), gradient = jax.value_and_grad(cost, has_aux=True)(
            params, tokens[None], memory
        )
        params = jax.tree.map(lambda p, g, s: p - s * g, params, gradient, steps)
        return (params, memory), nats

    return jax.lax.scan(window, (params, zero), text)[1]


def usual_sizes(cost: Cost, params: Any, zero: Any, seen: jax.Array) -> Any:
    """The root mean square of each weight's gradient over the windows of `read`."""

    def window(carried, tokens):
        total, memory = carried
        gradient, memory = jax.grad(cost, has_aux=True)(params, tokens[None], memory)
        total = jax.tree.map(lambda t, g: t + g * g, total, gradient)
        return (total, memory), None

    def run(total, windows):
        (total, _), _ = jax.lax.scan(window, (total, zero), windows)
        return total, None

    total, _ = jax.lax.scan(run, jax.tree.map(jnp.zeros_like, params), seen)
    number = seen.shape[0] * seen.shape[1]
    return jax.tree.map(lambda t: jnp.sqrt(t / number), total)
