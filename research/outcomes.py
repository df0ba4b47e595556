"""What a supervised model predicts: symbols, frames of bits, numbers, or vectors.

An `Outcome` says how wrong a prediction is. Axes: batch, then time where targets have
one. A target that is not scored (padding, a step that asks for nothing) is below zero
where it is a symbol or a frame, and NaN where it is a number or in a vector.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from research.task import Metrics

# The least deviation of a channel, given those before it, in units of the data: no
# vector costs less than log FLOOR + ½ log 2π = −5.99 nats a channel.
FLOOR = 1e-3


class Outcome(NamedTuple):
    """One kind of prediction.

    `losses(outputs, targets, smoothing)` → loss of each target, 0 where it is not
      scored, and the mask of those that are: both float32, [batch] or [batch, time].
    `measures(outputs, targets)` → what else is told of each target, same shape.
    `smooths`: whether a smoothing other than 0 means anything to it.
    """

    losses: Callable[[jax.Array, jax.Array, float], tuple[jax.Array, jax.Array]]
    measures: Callable[[jax.Array, jax.Array], Metrics]
    smooths: bool = False


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


class Gaussian(NamedTuple):
    """Of real vectors with C channels, each given those before it.

    x_j = mean_j + Σ_{k<j} lower_jk (x_k − mean_k) + scale_j ε_j, with ε standard
    normal: any covariance has one such form, whose determinant is Π scale².
    """

    mean: jax.Array  # [..., C]
    scale: jax.Array  # [..., C], above FLOOR
    lower: jax.Array  # [..., C, C], zero but below the diagonal


def gaussian_outputs(channels: int) -> int:
    """Numbers that a model gives for a Gaussian: C + C + C (C − 1) / 2."""
    return channels * (channels + 3) // 2


def gaussian(outputs: jax.Array, channels: int) -> Gaussian:
    """The Gaussian of a model's outputs [..., gaussian_outputs(channels)]."""
    mean, scale, below = jnp.split(outputs, [channels, 2 * channels], axis=-1)
    square = jnp.zeros((*mean.shape, channels), outputs.dtype)
    lower = square.at[..., *np.tril_indices(channels, -1)].set(below)
    return Gaussian(mean, FLOOR + jax.nn.softplus(scale), lower)


def gaussian_loss(outputs: jax.Array, vectors: jax.Array) -> jax.Array:
    """−log density of vectors [..., C] in nats, by units of the data: [...]."""
    mean, scale, lower = gaussian(outputs, vectors.shape[-1])
    apart = vectors - mean
    noise = (apart - jnp.einsum("...jk,...k->...j", lower, apart)) / scale
    return (noise**2 / 2 + jnp.log(scale) + np.log(2 * np.pi) / 2).sum(axis=-1)


def gaussian_draw(outputs: jax.Array, noise: jax.Array) -> jax.Array:
    """The vectors [..., C] that standard normal noise [..., C] stands for."""
    mean, scale, lower = gaussian(outputs, noise.shape[-1])
    apart = jax.lax.linalg.triangular_solve(
        jnp.eye(noise.shape[-1]) - lower,
        (scale * noise)[..., None],
        left_side=True,
        lower=True,
        unit_diagonal=True,
    )
    return mean + apart[..., 0]


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


def _vector_losses(outputs, targets, smoothing):
    del smoothing
    scored = ~jnp.isnan(targets).any(axis=-1)
    known = jnp.where(scored[..., None], targets, 0)
    return gaussian_loss(outputs, known) * scored, scored.astype(jnp.float32)


def _symbol_measures(logits, targets):
    return {"accuracy": correct(logits, targets)}


def _number_measures(outputs, targets):
    losses, _ = _number_losses(outputs, targets, 0.0)
    return {"squared_error": losses}


def _nothing(outputs, targets):
    del outputs, targets
    return {}


OUTCOMES = {
    "symbols": Outcome(_symbol_losses, _symbol_measures, smooths=True),
    "frames": Outcome(_frame_losses, _nothing),
    "numbers": Outcome(_number_losses, _number_measures),
    "vectors": Outcome(_vector_losses, _nothing),
}
