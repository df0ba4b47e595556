"""Gradients over a batch that is too large at once: share by share, then one update.

A device's examples are cut into shares, whose gradients are computed one after another
in the memory of one and averaged. BatchNorm in a supervised model or in a GAN's G takes
each share for a batch; in D it is refused (`research.gan.refusals`).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# (number of the share, carry, examples) → weight, gradient, carry, metrics
Gradient = Callable[[Any, Any, Any], tuple[Any, Any, Any, Any]]


def accumulated(
    shares: int, gradient_of: Gradient, carry: Any, examples: Any
) -> tuple[Any, Any, Any]:
    """The mean gradient of all shares, the last carry, and the mean metrics.

    Args:
      shares: how many; 1 computes all at once.
      gradient_of: of a share. Its means count by the weight, such as the number of
        targets that they are of.
      carry: what goes from share to share, such as running statistics.
      examples: arrays with the examples on the first axis, which `shares` divides.
    """
    if shares == 1:
        _, gradient, carry, metrics = gradient_of(0, carry, examples)
        return gradient, carry, metrics
    cut = jax.tree.map(lambda leaf: leaf.reshape(shares, -1, *leaf.shape[1:]), examples)

    def add(held, numbered):
        carry, sums = held
        weight, gradient, carry, metrics = gradient_of(numbered[0], carry, numbered[1])
        means = gradient, metrics
        means = jax.tree.map(lambda leaf: (weight * leaf).astype(leaf.dtype), means)
        return (carry, jax.tree.map(jnp.add, sums, (weight, means))), None

    first = jax.tree.map(lambda leaf: leaf[0], cut)
    weight, gradient, _, metrics = jax.eval_shape(gradient_of, 0, carry, first)
    zeros = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (weight, (gradient, metrics))
    )
    numbered = jnp.arange(shares), cut
    (carry, (weight, means)), _ = jax.lax.scan(add, (carry, zeros), numbered)
    gradient, metrics = jax.tree.map(lambda leaf: leaf / weight, means)
    return gradient, carry, metrics
