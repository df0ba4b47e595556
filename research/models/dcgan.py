"""DCGAN (Radford 2015) at any size: a generator and a discriminator of 5×5 kernels.

generator      z → Dense to the smallest picture → BatchNorm, ReLU → transposed
               convolutions of stride 2, BatchNorm and ReLU between → tanh
discriminator  convolutions of stride 2, BatchNorm on all but the first (or none),
               LeakyReLU 0.2 → Dense 1

The sizes are the picture's, halved and rounded up: 64 32 16 8 4, 28 14 7, or with four
halvings 28 14 7 4 2 (PacGAN's, on stacked digits). Kernels start from N(0, 0.02).
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import conv_transpose
from research.errors import UserError
from research.layers.dropout import check_rates
from research.models._counts import refuse_fewer
from research.models._layers import Conv, Dense
from research.models._minibatch import MinibatchDiscrimination
from research.training.axes import BATCH

NORMAL = nn.initializers.normal(0.02)
SMALLEST = 7  # sizes are halved down to at most this, unless told otherwise
KERNEL = 5


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the pair."""

    size: int = 64
    """height and width of a picture, pixels"""
    channels: int = 3
    """colours of a picture"""
    width: int = 64
    """channels next to the picture; they double with every halving"""
    discriminator_width: int | None = None
    """the same in D; None: as in G"""
    halvings: int | None = None
    """strides of 2 in each network; None: down to 4…7 pixels"""
    latent: int = 100
    """dimensions of the noise z"""
    discriminator_norm: bool = True
    """BatchNorm in D, as in the paper; gradient penalties ask for False"""
    spectral: bool = False
    """spectral normalisation of D's layers (Miyato 2018)"""
    minibatch_kernels: int = 0
    """kernels of minibatch discrimination in D (Salimans 2016); 0: none"""
    norm_momentum: float = 0.9
    """share of the old running statistics that is kept at a step"""
    slope: float = 0.2
    """LeakyReLU's slope below zero"""

    family = "gan"

    def generator(self) -> nn.Module:
        refuse_fewer(self, 0, "minibatch_kernels")
        refuse_fewer(self, 1, "channels", "width", "discriminator_width", "halvings")
        refuse_fewer(self, 1, "latent")
        check_rates(norm_momentum=self.norm_momentum, slope=self.slope)
        return Generator(self)

    def discriminator(self) -> nn.Module:
        return Discriminator(self)

    def sizes(self) -> list[int]:
        """Heights of the pictures inside, the data's first.

        Raises:
          UserError: a picture without pixels, or nothing to halve.
        """
        sizes = [self.size]
        while len(sizes) - 1 < (self.halvings or 64):
            if self.halvings is None and sizes[-1] <= SMALLEST:
                break
            sizes.append(-(-sizes[-1] // 2))
        if self.size < 1 or len(sizes) < 2:
            raise UserError(
                f"--model.size {self.size} with --model.halvings {self.halvings}: "
                f"there is nothing to halve; take a size of 8 or more"
            )
        return sizes


class Generator(nn.Module):
    """Noise [batch, latent] → pictures [batch, size, size, channels] in [-1, 1]."""

    model: Model

    @nn.compact
    def __call__(self, noise: jax.Array, train: bool) -> jax.Array:
        model = self.model
        *sizes, smallest = model.sizes()
        width = model.width * 2 ** (len(sizes) - 1)
        dense = nn.Dense(smallest**2 * width, use_bias=False, kernel_init=NORMAL)
        x = dense(noise).reshape(-1, smallest, smallest, width)
        for size in reversed(sizes):
            x = nn.relu(_norm(model, train)(x))
            width = model.channels if size == model.size else width // 2
            x = Twice(width, size, use_bias=size == model.size)(x)
        return jnp.tanh(x)


class Discriminator(nn.Module):
    """Pictures [batch, size, size, channels] → logits [batch], large for real ones."""

    model: Model

    @property
    def couples_samples(self) -> bool:
        """Whether a sample's logit depends on the others, BatchNorm apart."""
        return self.model.minibatch_kernels > 0

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        model = self.model
        x = images
        first = model.discriminator_width or model.width
        for level in range(len(model.sizes()) - 1):
            layer = Conv(first * 2**level, KERNEL, 2, model.spectral, NORMAL)
            x = layer(x)
            if model.discriminator_norm and level:
                x = _norm(model, train)(x)
            x = nn.leaky_relu(x, model.slope)
        x = x.reshape(len(x), -1)
        if model.minibatch_kernels:
            x = MinibatchDiscrimination(model.minibatch_kernels)(x)
        self.sow("intermediates", "features", x)
        return Dense(1, model.spectral, NORMAL)(x)[:, 0]


class Twice(nn.Module):
    """5×5 transposed convolution of stride 2 to `size`, which may be one less than 2×.

    The gradient of a SAME convolution of stride 2 that halves `size`, rounding up.
    """

    features: int
    size: int
    use_bias: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (KERNEL, KERNEL, self.features, x.shape[-1])
        x = conv_transpose(x, self.param("kernel", NORMAL, shape), (2, 2))
        # An odd size is padded one more at its start than the even one is.
        start = 2 * (-(-self.size // 2)) - self.size
        x = x[:, start:, start:]
        if not self.use_bias:
            return x
        return x + self.param("bias", nn.initializers.zeros, (self.features,))


def _norm(model: Model, train: bool) -> nn.BatchNorm:
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=model.norm_momentum,
        axis_name=BATCH,
        use_fast_variance=False,
    )
