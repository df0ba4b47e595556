"""Two multilayer perceptrons: for points in the plane, or small pictures.

generator      z → Dense, ReLU; `layers` of them → Dense to a sample, tanh for pictures
discriminator  a sample → Dense, LeakyReLU or maxout; `layers` of them → Dense 1
"""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from research.layers.dropout import check_rates
from research.models._counts import refuse_fewer
from research.models._layers import Dense
from research.models._minibatch import MinibatchDiscrimination
from research.training.axes import BATCH


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the pair."""

    shape: tuple[int, ...] = (2,)
    """of a sample: 2 for points, 8 8 3 for small pictures"""
    hidden: int = 128
    """units of G's hidden layers"""
    discriminator_hidden: int | None = None
    """units of D's hidden layers; None: as G's"""
    layers: int = 3
    """hidden layers of each"""
    latent: int = 2
    """dimensions of the noise z"""
    bounded: bool = False
    """tanh at G's end, for pictures in [-1, 1]; points have no bounds"""
    norm: bool = False
    """BatchNorm in G's hidden layers (PacGAN's rings and grids have it)"""
    discriminator_norm: bool = False
    """BatchNorm in D's hidden layers"""
    slope: float = 0.2
    """LeakyReLU's slope below zero in D"""
    maxout: int = 1
    """linear pieces of D's units; from 2 on the largest is taken, instead of LeakyReLU
    (Goodfellow 2013; PacGAN: 5)"""
    spectral: bool = False
    """spectral normalisation of D's layers (Miyato 2018)"""
    minibatch_kernels: int = 0
    """kernels of minibatch discrimination in D (Salimans 2016); 0: none"""

    family = "gan"

    def generator(self) -> nn.Module:
        refuse_fewer(self, 0, "layers", "minibatch_kernels")
        refuse_fewer(self, 1, "shape", "hidden", "discriminator_hidden", "latent")
        refuse_fewer(self, 1, "maxout")
        check_rates(slope=self.slope)
        return Generator(self)

    def discriminator(self) -> nn.Module:
        return Discriminator(self)


class Generator(nn.Module):
    """Noise [batch, latent] → samples [batch, *shape]."""

    model: Model

    @nn.compact
    def __call__(self, noise: jax.Array, train: bool) -> jax.Array:
        x = noise
        for _ in range(self.model.layers):
            x = nn.Dense(self.model.hidden)(x)
            x = nn.relu(_norm(train)(x) if self.model.norm else x)
        x = nn.Dense(math.prod(self.model.shape))(x).reshape(-1, *self.model.shape)
        return jnp.tanh(x) if self.model.bounded else x


class Discriminator(nn.Module):
    """Samples [batch, …] → logits [batch], large for real ones."""

    model: Model

    @property
    def couples_samples(self) -> bool:
        """Whether a sample's logit depends on the others, BatchNorm apart."""
        return self.model.minibatch_kernels > 0

    @nn.compact
    def __call__(self, samples: jax.Array, train: bool) -> jax.Array:
        model = self.model
        units = model.discriminator_hidden or model.hidden
        x = samples.reshape(len(samples), -1)
        for _ in range(model.layers):
            x = Dense(units * model.maxout, model.spectral)(x)
            x = _norm(train)(x) if model.discriminator_norm else x
            if model.maxout > 1:
                x = x.reshape(len(x), units, model.maxout).max(-1)
            else:
                x = nn.leaky_relu(x, model.slope)
        if model.minibatch_kernels:
            x = MinibatchDiscrimination(model.minibatch_kernels)(x)
        self.sow("intermediates", "features", x)
        return Dense(1, model.spectral)(x)[:, 0]


def _norm(train: bool) -> nn.BatchNorm:
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        axis_name=BATCH,
        use_fast_variance=False,
    )
