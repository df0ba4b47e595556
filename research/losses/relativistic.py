"""Relativistic pairing (Jolicoeur-Martineau 2018; RpGAN in Huang 2024, R3GAN, eq. 2).

Each fake is judged against a real picture of the same batch: what counts is which of
the two has the larger logit, so no generator output can be good on its own, and one
picture for all noise is no longer a resting point of the game.
"""

import jax
import jax.numpy as jnp


def discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E[softplus(−(D(x) − D(G(z))))] over pairs, in nats."""
    return jnp.mean(jax.nn.softplus(fake_logits - real_logits))


def generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E[softplus(−(D(G(z)) − D(x)))] over the same pairs, in nats."""
    return jnp.mean(jax.nn.softplus(real_logits - fake_logits))
