"""What a supervised model predicts: symbols, frames of bits, or numbers.

An `Outcome` says how wrong a prediction is. Axes: batch, then time where targets have
one. A target that is not scored (padding, a step that asks for nothing) is below zero
where it is a symbol or a frame, and NaN where it is a number.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from research.task import Metrics


class Outcome(NamedTuple):
    """One kind of prediction.

    `losses(outputs, targets, smoothing)` → loss of each target, 0 where it is not
      scored, and the mask of those that are: both float32, [batch] or [batch, time].
    `measures(outputs, targets)` → what else is told of each target, same shape.
    """

    losses: Callable[[jax.Array, jax.Array, float], tuple[jax.Array, jax.Array]]
    measures: Callable[[jax.Array, jax.Array], Metrics]


def cross_entropy(
    logits: jax.Array, targets: jax.Array, smoothing: float = 0.0
) -> jax.Array:
    """−log p(target) in nats, of the shape of `targets`."""
    wanted = optax.smooth_labels(jax.nn.one_hot(targets, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, wanted)


def correct(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """1.0 where the target has the largest logit, else 0.0; shape of `targets`."""
    return (jnp.argmax(logits, axis=-1) == targets).astype(jnp.float32)


def frame_loss(logits: jax.Array, frames: jax.Array) -> jax.Array:
    """−log p of whole frames in nats, the sum over their bits: [batch, time].

    The loss of Chung 2014 and Bai 2018, who differ in how they average it.
    """
    return optax.sigmoid_binary_cross_entropy(logits, frames).sum(axis=-1)


def _symbol_losses(logits, targets, smoothing):
    scored = targets >= 0
    losses = cross_entropy(logits, jnp.maximum(targets, 0), smoothing)
    return losses * scored, scored.astype(jnp.float32)


def _frame_losses(logits, targets, smoothing):
    del smoothing
    scored = jnp.all(targets >= 0, axis=-1)
    return frame_loss(logits, jnp.maximum(targets, 0)) * scored, scored.astype(
        jnp.float32
    )


def _number_losses(outputs, targets, smoothing):
    del smoothing
    scored = ~jnp.isnan(targets)
    # Zeroed before it is squared: NaN · 0 is NaN in the gradient too.
    distance = jnp.where(scored, outputs[..., 0] - jnp.where(scored, targets, 0), 0)
    return distance**2, scored.astype(jnp.float32)


def _symbol_measures(logits, targets):
    return {"accuracy": correct(logits, targets)}


def _number_measures(outputs, targets):
    losses, _ = _number_losses(outputs, targets, 0.0)
    return {"squared_error": losses}


def _nothing(outputs, targets):
    del outputs, targets
    return {}


OUTCOMES = {
    "symbols": Outcome(_symbol_losses, _symbol_measures),
    "frames": Outcome(_frame_losses, _nothing),
    "numbers": Outcome(_number_losses, _number_measures),
}
