"""The non-saturating loss of Goodfellow 2014, section 3, the article's own.

discriminator   −E[log D(x)] − E[log(1 − D(G(z)))]
generator       −E[log D(G(z))]
with D = σ(logit), and −log σ(l) = softplus(−l).
"""

import jax
import jax.numpy as jnp


def discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """−E[log D(x)] − E[log(1 − D(G(z)))], in nats; 2 ln 2 when D knows nothing."""
    return jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(
        jax.nn.softplus(fake_logits)
    )


def generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """−E[log D(G(z))], in nats; the real logits play no part."""
    del real_logits
    return jnp.mean(jax.nn.softplus(-fake_logits))
