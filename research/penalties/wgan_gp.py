"""The gradient penalty of WGAN-GP (Gulrajani 2017, eq. 3): E(‖∇D(x̂)‖ − 1)².

x̂ lies on the line between a real sample and a generated one, at a place drawn for
each pair, one number a pair. The paper's λ is 10 for pictures; its code for points in
the plane takes 0.1.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

# Under the root, so that its derivative exists where D is flat; it moves the norm of a
# gradient of 1 by 5e-9.
TINY = 1e-8


def penalty(
    discriminate: Callable[[jax.Array], jax.Array],
    real: jax.Array,
    fake: jax.Array,
    keys: jax.Array,
) -> jax.Array:
    """E(‖∇D(x̂)‖ − 1)² at a place between each pair."""
    places = jax.vmap(between)(keys, real, fake)
    return squared_distance_from_one(discriminate, places)


def between(key: jax.Array, real: jax.Array, fake: jax.Array) -> jax.Array:
    """A sample on the line from `fake` to `real`, uniformly."""
    share = jax.random.uniform(key).astype(real.dtype)
    return share * real + (1 - share) * fake


def squared_distance_from_one(
    discriminate: Callable[[jax.Array], jax.Array], samples: jax.Array
) -> jax.Array:
    """Mean over the batch of (‖∇D‖ − 1)², in float32."""
    gradient = jax.grad(lambda x: jnp.sum(discriminate(x)))(samples)
    flat = gradient.astype(jnp.float32).reshape(len(samples), -1)
    norm = jnp.sqrt(jnp.sum(jnp.square(flat), axis=1) + TINY)
    return jnp.mean(jnp.square(norm - 1))
