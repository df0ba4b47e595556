"""Least squares (Mao 2017, equation 9): targets 1 for real, 0 for fake, 1 for G.

On raw logits, as in the paper; some code squares what a sigmoid has squashed.
"""

import jax
import jax.numpy as jnp


def discriminator(
    real_logits: jax.Array, fake_logits: jax.Array, real_target: float = 1.0
) -> jax.Array:
    """½ E[(D(x) − t)²] + ½ E[D(G(z))²], with t = `real_target`."""
    real = jnp.mean(jnp.square(real_logits - real_target))
    return 0.5 * (real + jnp.mean(jnp.square(fake_logits)))


def generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """½ E[(D(G(z)) − 1)²]."""
    del real_logits
    return 0.5 * jnp.mean(jnp.square(fake_logits - 1))
