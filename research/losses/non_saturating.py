"""The non-saturating loss of Goodfellow 2014, section 3, the article's own.

discriminator   −E[log D(x)] − E[log(1 − D(G(z)))]
generator       −E[log D(G(z))]
with D = σ(logit), and −log σ(l) = softplus(−l).
"""

import jax
import jax.numpy as jnp


def discriminator(
    real_logits: jax.Array, fake_logits: jax.Array, real_target: float = 1.0
) -> jax.Array:
    """−E[log D(x)] − E[log(1 − D(G(z)))], in nats; 2 ln 2 when D knows nothing.

    With a real target t < 1 (Salimans 2016, section 3.4) the first term is the cross
    entropy −E[t log D(x) + (1 − t) log(1 − D(x))], least at the logit log(t/(1 − t)).
    """
    surprise = jnp.mean(jax.nn.softplus(-real_logits))
    if real_target != 1:
        # softplus(l) = softplus(−l) + l
        surprise += (1 - real_target) * jnp.mean(real_logits)
    return surprise + jnp.mean(jax.nn.softplus(fake_logits))


def generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """−E[log D(G(z))], in nats; the real logits play no part."""
    del real_logits
    return jnp.mean(jax.nn.softplus(-fake_logits))
