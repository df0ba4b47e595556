"""The Wasserstein loss (Arjovsky 2017, equation 2 and algorithm 1): D is a critic.

It means a distance only while the critic is Lipschitz: clip its weights
(`--task.clip-weights 0.01`), or penalise its slope (`wgan_gp`, Gulrajani 2017).
"""

import jax
import jax.numpy as jnp


def discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E[D(G(z))] − E[D(x)]: minus the critic's estimate of the distance."""
    return jnp.mean(fake_logits) - jnp.mean(real_logits)


def generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """−E[D(G(z))]."""
    del real_logits
    return -jnp.mean(fake_logits)
