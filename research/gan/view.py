"""What D is shown of real and of generated samples: the same changes to both."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class View:
    """Augmentation, then instance noise, then packing; differentiable."""

    augmentations: tuple[Callable, ...] = ()
    noise: float = 0.0
    noise_steps: float = 1.0
    packing: int = 1

    def __call__(
        self, samples: jax.Array, keys: jax.Array, step: jax.Array
    ) -> jax.Array:
        """What D reads [batch / packing, …] of samples [batch, …] with a key each."""
        for number, augment in enumerate(self.augmentations):
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
            samples = jax.vmap(augment)(own, samples)
        if self.noise:
            noise = jax.vmap(lambda key: jax.random.normal(key, samples.shape[1:]))
            samples = samples + self.deviation(step) * noise(keys)
        return self.pack(samples)

    def deviation(self, step: jax.Array) -> jax.Array:
        """Instance noise's standard deviation: falls to 0 on a line (Sønderby 2016)."""
        left = 1 - step.astype(jnp.float32) / self.noise_steps
        return self.noise * jnp.maximum(left, 0)

    def pack(self, samples: jax.Array) -> jax.Array:
        """Each `packing` neighbours as one, along the last axis (PacGAN, Lin 2018)."""
        if self.packing == 1:
            return samples
        groups = samples.reshape(-1, self.packing, *samples.shape[1:])
        together = jnp.moveaxis(groups, 1, -2)
        return together.reshape(*together.shape[:-2], -1)
