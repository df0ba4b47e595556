"""The hinge loss (Lim 2017; Miyato 2018, equations 16 and 17), SNGAN's.

D stops pushing a sample that is on its side by 1 or more.
"""

import jax
import jax.numpy as jnp


def discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))]."""
    real, fake = jax.nn.relu(1 - real_logits), jax.nn.relu(1 + fake_logits)
    return jnp.mean(real) + jnp.mean(fake)


def generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """−E[D(G(z))]."""
    del real_logits
    return -jnp.mean(fake_logits)
