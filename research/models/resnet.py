"""The residual pair of WGAN-GP (Gulrajani 2017) and SNGAN (Miyato 2018, tables 3–5).

generator      z → Dense 4×4 → blocks that double the size → BatchNorm, ReLU →
               3×3 convolution → tanh
discriminator  blocks, the first `halvings` of which halve the size → ReLU → sum over
               pixels → Dense 1

SNGAN's tables:  32×32  G 256 256 256 256   D 128 128 128 128, 2 halvings
                 64×64  G 1024 512 256 128 64   D 64 128 256 512 1024, 4 halvings
               128×128  G 1024 1024 512 256 128 64   D 64 128 256 512 1024 1024, 5
With classes, BatchNorm in G has a scale and a shift for each (de Vries 2017), and the
logit gains the features' product with the class's vector (Miyato and Koyama 2018).
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from research.errors import UserError
from research.models._counts import refuse_fewer
from research.models._layers import Conv, Dense, Projection
from research.training.axes import BATCH

INSIDE = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")  # of a block
OUTSIDE = nn.initializers.glorot_uniform()
SMALLEST = 4  # pixels that G starts from


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the pair."""

    generator_widths: tuple[int, ...] = (256, 256, 256, 256)
    """channels of G at 4 pixels and after each doubling"""
    discriminator_widths: tuple[int, ...] = (128, 128, 128, 128)
    """channels of D after each block"""
    halvings: int = 2
    """blocks of D that halve the size, from the first on"""
    channels: int = 3
    """colours of a picture"""
    latent: int = 128
    """dimensions of the noise z"""
    classes: int = 0
    """that both networks are told, as many as the data set's labels; 0: none"""
    spectral: bool = True
    """spectral normalisation in D (SNGAN); WGAN-GP has none"""
    discriminator_norm: Literal["none", "layer"] = "none"
    """layer: LayerNorm in D's blocks (WGAN-GP)"""

    family = "gan"

    def generator(self) -> nn.Module:
        refuse_fewer(self, 0, "halvings", "classes")
        refuse_fewer(self, 1, "generator_widths", "discriminator_widths", "channels")
        refuse_fewer(self, 1, "latent")
        return Generator(self)

    def discriminator(self) -> nn.Module:
        return Discriminator(self)

    def refuse_size(self, height: int, width: int) -> None:
        """Raises UserError for a picture that D cannot halve so often."""
        step = 2 ** min(self.halvings, len(self.discriminator_widths))
        if height % step or width % step:
            raise UserError(
                f"--model.halvings {self.halvings}: D halves pictures of "
                f"{height}×{width} to the end only if both are multiples of {step}; "
                f"give fewer"
            )


class Generator(nn.Module):
    """Noise [batch, latent], labels int32 [batch] → pictures in [-1, 1]."""

    model: Model

    @nn.compact
    def __call__(
        self, noise: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        first, *widths = self.model.generator_widths
        x = nn.Dense(SMALLEST**2 * first, kernel_init=OUTSIDE)(noise)
        x = x.reshape(-1, SMALLEST, SMALLEST, first)
        for width in widths:
            x = Growing(width, self.model.classes)(x, labels, train)
        x = nn.relu(ClassNorm()(x, None, train))
        return jnp.tanh(Conv(self.model.channels, kernel_init=OUTSIDE)(x))


class Growing(nn.Module):
    """A block of G, twice the height and width: [batch, …, width]."""

    width: int
    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, labels: jax.Array | None, train: bool):
        y = nn.relu(ClassNorm(self.classes)(x, labels, train))
        y = Conv(self.width, kernel_init=INSIDE)(doubled(y))
        y = nn.relu(ClassNorm(self.classes)(y, labels, train))
        y = Conv(self.width, kernel_init=INSIDE)(y)
        return y + doubled(Conv(self.width, 1, kernel_init=OUTSIDE)(x))


class ClassNorm(nn.Module):
    """BatchNorm; with classes each has its own scale 1 + γ and shift, 0 at first."""

    classes: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, labels: jax.Array | None, train: bool):
        own = bool(self.classes)
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            axis_name=BATCH,
            use_fast_variance=False,
            use_scale=not own,
            use_bias=not own,
        )
        if not own:
            return norm(x)
        shape = (self.classes, x.shape[-1])
        scale = self.param("scale", nn.initializers.zeros, shape)[labels]
        shift = self.param("shift", nn.initializers.zeros, shape)[labels]
        return norm(x) * (1 + scale[:, None, None]) + shift[:, None, None]


class Discriminator(nn.Module):
    """Pictures, labels int32 [batch] → logits [batch], large for real ones."""

    model: Model

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        del train  # no BatchNorm
        model = self.model
        model.refuse_size(*images.shape[1:3])
        x = images
        for number, width in enumerate(model.discriminator_widths):
            halve = number < model.halvings
            x = Shrinking(width, halve, number == 0, model)(x)
        x = nn.relu(x).sum(axis=(1, 2))
        self.sow("intermediates", "features", x)
        logits = Dense(1, model.spectral, OUTSIDE)(x)[:, 0]
        if model.classes:
            logits = logits + Projection(model.classes, model.spectral)(x, labels)
        return logits


class Shrinking(nn.Module):
    """A block of D: [batch, …, width], half the height and width if `halve`."""

    width: int
    halve: bool
    first: bool  # reads the picture: no ReLU before, and pools it before the shortcut
    model: Model

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        spectral = self.model.spectral
        y = x if self.first else nn.relu(self._norm(x))
        # The hidden width is the input's, as in Gulrajani's and Miyato's code.
        hidden = self.width if self.first else x.shape[-1]
        y = nn.relu(self._norm(Conv(hidden, 3, 1, spectral, INSIDE)(y)))
        y = Conv(self.width, 3, 1, spectral, INSIDE)(y)
        if self.halve:
            y = halved(y)
        if self.halve or x.shape[-1] != self.width:
            x = halved(x) if self.halve and self.first else x
            x = Conv(self.width, 1, 1, spectral, OUTSIDE)(x)
            x = halved(x) if self.halve and not self.first else x
        return x + y

    def _norm(self, x: jax.Array) -> jax.Array:
        if self.model.discriminator_norm == "none":
            return x
        return nn.LayerNorm(reduction_axes=(1, 2, 3), feature_axes=-1)(x)


def doubled(x: jax.Array) -> jax.Array:
    """Each pixel twice, down and across."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def halved(x: jax.Array) -> jax.Array:
    """Means over squares of 2 × 2 pixels."""
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return squares.mean(axis=(2, 4))
