"""Samples of a generator, one for each key, and ways from one to the next."""

import dataclasses
from types import ModuleType

import jax
import jax.numpy as jnp

from research.gan.player import Net, Player
from research.gan.walk import between

LABEL = 3  # folded into a sample's key for its class; its noise takes the key itself


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How a generator is asked for samples."""

    generator: Player
    medium: ModuleType
    latent: int
    classes: int  # of a conditional generator; 0: it is none

    def draw(self, net: Net, keys: jax.Array) -> jax.Array:
        """One sample for each key; conditional ones are of classes drawn evenly."""
        return self._shown(net, self.noise(keys), *self._labels(keys))

    def walk(self, net: Net, keys: jax.Array, steps: int) -> jax.Array:
        """Samples on the way from each key's to the next key's, both ends included.

        The class of a conditional one changes half-way.

        Returns:
          [keys − 1, steps, …] samples.
        """
        noise = self.noise(keys)
        ways = between(noise[:-1], noise[1:], steps)
        late = jnp.arange(steps) >= steps / 2
        labels = [
            jnp.where(late, own[1:, None], own[:-1, None]).ravel()
            for own in self._labels(keys)
        ]
        samples = self._shown(net, ways.reshape(-1, self.latent), *labels)
        return samples.reshape(*ways.shape[:2], *samples.shape[1:])

    def noise(self, keys: jax.Array) -> jax.Array:
        """Normal noise [keys, latent]."""
        return jax.vmap(lambda key: jax.random.normal(key, (self.latent,)))(keys)

    def _labels(self, keys: jax.Array) -> tuple[jax.Array, ...]:
        """The class of each key's sample; nothing where there are none."""
        if not self.classes:
            return ()
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, LABEL)
        return (jax.vmap(lambda k: jax.random.randint(k, (), 0, self.classes))(own),)

    def _shown(self, net: Net, noise: jax.Array, *labels: jax.Array) -> jax.Array:
        return self.medium.from_network(self.generator.evaluate(net, noise, *labels))
