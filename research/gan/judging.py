"""How D judges a batch: separate or joint passes, and what is taken from them."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from research.gan.player import Net, Player
from research.training.axes import BATCH

TINY = 1e-8  # under a root and in a quotient, for a D that is flat


class Judged(NamedTuple):
    """Logits [batch] of real and generated samples, and D's new statistics."""

    real: jax.Array
    fake: jax.Array
    stats: Any


@dataclasses.dataclass(frozen=True)
class Judge:
    """The discriminator with the ways of asking it; `labels` are () or (labels,)."""

    player: Player
    joint: bool = False
    gradient_normalization: bool = False

    def both(self, net: Net, real: jax.Array, fake: jax.Array, labels: tuple) -> Judged:
        """Logits of both; statistics of the joint batch, or of real and then fake."""
        if self.joint:
            samples = jnp.concatenate([real, fake])
            twice = tuple(jnp.tile(label, 2) for label in labels)
            logits, stats = self.player.train(net, samples, *twice)
            real_logits, fake_logits = jnp.split(logits, 2)
            return Judged(real_logits, fake_logits, stats)
        # One pass for each, not one over both: the penalties make the same two
        # passes, and the compiler then merges them.
        real_logits, stats = self._judge(net, real, labels)
        fake_logits, stats = self._judge(net._replace(stats=stats), fake, labels)
        return Judged(real_logits, fake_logits, stats)

    def function(self, net: Net, labels: tuple) -> Callable[[jax.Array], jax.Array]:
        """Samples → logits, as penalties ask for it."""
        return lambda samples: self._judge(net, samples, labels)[0]

    def feature_distance(
        self, net: Net, real: jax.Array, fake: jax.Array, labels: tuple
    ) -> jax.Array:
        """‖E f(x) − E f(G(z))‖² over all devices (Salimans 2016, section 3.1)."""
        means = [
            jax.lax.pmean(self.player.features(net, s, *labels).mean(0), BATCH)
            for s in (jax.lax.stop_gradient(real), fake)
        ]
        return jnp.sum(jnp.square(means[0] - means[1]))

    def _judge(self, net: Net, samples: jax.Array, labels: tuple):
        def judge(samples):
            return self.player.train(net, samples, *labels)

        if self.gradient_normalization:
            return normalized(lambda x: judge(x)[0], samples), net.stats
        return judge(samples)


def normalized(
    discriminate: Callable[[jax.Array], jax.Array], samples: jax.Array
) -> jax.Array:
    """D(x) / (‖∇D(x)‖ + |D(x)|), a critic of slope at most 1 (GN-GAN, Wu 2021, eq. 7).

    Needs logits that depend on their own sample alone.
    """
    logits, pull_back = jax.vjp(discriminate, samples)
    (gradient,) = pull_back(jnp.ones_like(logits))
    flat = gradient.reshape(len(samples), -1)
    norm = jnp.sqrt(jnp.sum(jnp.square(flat), axis=1) + TINY)
    return logits / (norm + jnp.abs(logits))
