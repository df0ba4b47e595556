"""The zero-sum game of Goodfellow 2014, equation 1: G's gain is D's loss.

generator       E[log(1 − D(G(z)))]
Its gradient vanishes where D is sure of a fake, which is what the non-saturating loss
mends; kept to show that.
"""

import jax
import jax.numpy as jnp

from research.losses.non_saturating import discriminator as discriminator


def generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E[log(1 − D(G(z)))] = −E[softplus(logit)], in nats, at most 0."""
    del real_logits
    return -jnp.mean(jax.nn.softplus(fake_logits))
