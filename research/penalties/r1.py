"""R1 (Mescheder 2018, eq. 9): ½ E‖∇ₓD(x)‖² on real samples.

Computed in float32; the squared norm sums over all of a sample. It has no square root,
so it is smooth where the gradient vanishes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def penalty(
    discriminate: Callable[[jax.Array], jax.Array],
    real: jax.Array,
    fake: jax.Array,
    keys: jax.Array,
) -> jax.Array:
    """½ E‖∇ₓD(x)‖² at the real samples."""
    del fake, keys
    return half_squared_gradient(discriminate, real)


def half_squared_gradient(
    discriminate: Callable[[jax.Array], jax.Array], samples: jax.Array
) -> jax.Array:
    """½ times the mean over the batch of D's squared input gradient."""
    gradient = jax.grad(lambda x: jnp.sum(discriminate(x)))(samples)
    return 0.5 * jnp.sum(jnp.square(gradient.astype(jnp.float32))) / len(samples)
