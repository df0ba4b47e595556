"""The Dirac-GAN's two players (Mescheder 2018, section 2), in the plane.

generator      θ [2], whatever the noise
discriminator  ψ · x, ψ [2]: no bias, and no bend
"""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from research.errors import UserError
from research.models._counts import refuse_fewer


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the pair."""

    start: float = 1.0
    """θ = (start, 0) and ψ = (0, start) at first, and the data is at 0"""
    latent: int = 1
    """dimensions of the noise, which has no effect"""

    family = "gan"

    def generator(self) -> nn.Module:
        refuse_fewer(self, 1, "latent")
        if not math.isfinite(self.start):
            raise UserError(f"--model.start is {self.start}: give a finite number")
        return Generator(self.start)

    def discriminator(self) -> nn.Module:
        return Discriminator(self.start)


class Generator(nn.Module):
    """Noise [batch, latent] → θ for each, [batch, 2]."""

    start: float

    @nn.compact
    def __call__(self, noise: jax.Array, train: bool) -> jax.Array:
        del train
        theta = self.param("theta", lambda _: jnp.array([self.start, 0.0]))
        return jnp.broadcast_to(theta, (len(noise), 2))


class Discriminator(nn.Module):
    """Points [batch, 2] → ψ·x [batch]."""

    start: float
    packs = False

    @nn.compact
    def __call__(self, points: jax.Array, train: bool) -> jax.Array:
        del train
        psi = self.param("psi", lambda _: jnp.array([0.0, self.start]))
        return points @ psi
