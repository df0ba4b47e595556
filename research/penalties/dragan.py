"""DRAGAN (Kodali 2017): E(‖∇D(x + δ)‖ − 1)² around the real samples.

δ is uniform in ±½ s for each number of a sample by itself, s the standard deviation of
all numbers of the batch, on all devices. (The authors' code moves upward only, which
shifts the samples as well; the paper asks for noise without a mean.)
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from research.penalties.wgan_gp import squared_distance_from_one
from research.training.axes import BATCH


def penalty(
    discriminate: Callable[[jax.Array], jax.Array],
    real: jax.Array,
    fake: jax.Array,
    keys: jax.Array,
) -> jax.Array:
    """E(‖∇D(x + δ)‖ − 1)² near the real samples."""
    del fake
    around = jax.vmap(
        lambda key: jax.random.uniform(key, real.shape[1:], minval=-0.5, maxval=0.5)
    )(keys)
    places = real + (deviation(real) * around).astype(real.dtype)
    return squared_distance_from_one(discriminate, places)


def deviation(samples: jax.Array) -> jax.Array:
    """Standard deviation over all numbers of all devices' samples."""
    samples = samples.astype(jnp.float32)
    mean = jax.lax.pmean(jnp.mean(samples), BATCH)
    return jnp.sqrt(jax.lax.pmean(jnp.mean(jnp.square(samples - mean)), BATCH))
