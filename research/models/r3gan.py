"""A modern pair without any normalisation, after R3GAN's recipe (Huang 2024).

From section 3 of the paper: ResNet stages with an inverted bottleneck and grouped 3×3
convolutions, bilinear resampling, LeakyReLU 0.2, no normalisation; instead Fix-up
initialisation, with the last convolution of each block at 0. G starts from learned
4×4 maps that z scales, D ends in one 4×4 convolution a channel. G has no tanh.
It is made for relativistic pairing with R1 and R2. With classes, a learned vector of
the class stands beside z, and the logit gains the features' product with one of D's.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from research.errors import UserError
from research.models._counts import refuse_fewer
from research.models._layers import Conv, Dense, Projection

SMALLEST = 4
SLOPE = 0.2


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the pair."""

    widths: tuple[int, ...] = (128, 128, 64, 64)
    """channels at 4 pixels and after each doubling; D has them the other way round"""
    blocks: int = 2
    """residual blocks at each size"""
    expansion: int = 2
    """channels inside a block for each outside"""
    group: int = 16
    """channels of a group of the 3×3 convolutions"""
    channels: int = 3
    """colours of a picture"""
    latent: int = 64
    """dimensions of the noise z, and of a class's vector beside it"""
    classes: int = 0
    """that both networks are told, as many as the data set's labels; 0: none"""

    family = "gan"

    def generator(self) -> nn.Module:
        refuse_fewer(self, 0, "classes")
        refuse_fewer(self, 1, "widths", "blocks", "expansion", "group", "channels")
        refuse_fewer(self, 1, "latent")
        return Generator(self)

    def discriminator(self) -> nn.Module:
        return Discriminator(self)

    def fixup(self) -> float:
        """Factor of initial deviations for L blocks of m = 3 layers: L^(−1/(2m−2))."""
        return (self.blocks * len(self.widths)) ** -0.25


class Generator(nn.Module):
    """Noise [batch, latent], labels int32 [batch] → pictures [batch, height, …]."""

    model: Model

    @nn.compact
    def __call__(
        self, noise: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        del train
        model = self.model
        if model.classes:
            own = (model.classes, model.latent)
            vectors = self.param("classes", nn.initializers.normal(1.0), own)
            noise = jnp.concatenate([noise, vectors[labels]], axis=1)
        shape = (SMALLEST, SMALLEST, model.widths[0])
        basis = self.param("basis", nn.initializers.normal(1.0), shape)
        x = Dense(model.widths[0])(noise)[:, None, None] * basis
        for number, width in enumerate(model.widths):
            if number:
                batch, height, across, channels = x.shape
                size = (batch, 2 * height, 2 * across, channels)
                x = jax.image.resize(x, size, "bilinear")
            x = _to_width(x, width)
            for _ in range(model.blocks):
                x = Block(model)(x)
        return Conv(model.channels, 1)(x)


class Discriminator(nn.Module):
    """Pictures, labels int32 [batch] → logits [batch], large for real ones."""

    model: Model

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        del train
        model = self.model
        x = Conv(model.widths[-1], 1)(images)
        for number, width in enumerate(reversed(model.widths)):
            if number:
                batch, height, across, channels = x.shape
                size = (batch, height // 2, across // 2, channels)
                x = jax.image.resize(x, size, "bilinear", antialias=True)
            x = _to_width(x, width)
            for _ in range(model.blocks):
                x = Block(model)(x)
        shape = (SMALLEST, SMALLEST, x.shape[-1])
        maps = self.param("maps", nn.initializers.normal(1 / SMALLEST), shape)
        x = jnp.sum(x * maps, axis=(1, 2))
        self.sow("intermediates", "features", x)
        logits = Dense(1)(x)[:, 0]
        if model.classes:
            logits = logits + Projection(model.classes)(x, labels)
        return logits


class Block(nn.Module):
    """x plus an inverted bottleneck of 1×1, grouped 3×3, 1×1, which starts at 0."""

    model: Model

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        model = self.model
        inside = model.expansion * x.shape[-1]
        # Kaiming's variance for LeakyReLU, times Fix-up's factor squared.
        gain = 2 / (1 + SLOPE**2) * model.fixup() ** 2
        init = nn.initializers.variance_scaling(gain, "fan_in", "normal")
        y = nn.leaky_relu(Conv(inside, 1, kernel_init=init)(x), SLOPE)
        groups = max(inside // model.group, 1)
        if inside % groups:
            raise UserError(
                f"--model.group {model.group} does not divide the {inside} channels "
                f"inside a block ({model.expansion} × {x.shape[-1]}): take a divisor"
            )
        y = nn.Conv(inside, (3, 3), feature_group_count=groups, kernel_init=init)(y)
        y = nn.leaky_relu(y, SLOPE)
        return x + Conv(x.shape[-1], 1, kernel_init=nn.initializers.zeros)(y)


def _to_width(x: jax.Array, width: int) -> jax.Array:
    return x if x.shape[-1] == width else Conv(width, 1)(x)
