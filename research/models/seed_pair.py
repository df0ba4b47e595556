"""The article's generator and discriminator, 28×28×3 (SEED.md of the project: DCGAN).

generator      z → Dense 7·7·256, ReLU → 5×5 transposed convolutions with strides
               1, 2, 2 to 128, 64, 3 channels, BatchNorm and ReLU between → tanh
discriminator  5×5 convolutions with stride 2 to 64 and 128 channels, LeakyReLU
               → flatten → Dense 1: a logit, its sigmoid is left to the loss

The article puts a BatchNorm before the tanh; DCGAN (Radford 2015) leaves it out.
Layers that a BatchNorm follows have no bias: it would be subtracted again.
"""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import conv, conv_transpose
from research.layers.dropout import check_rates
from research.models._counts import refuse_fewer, refuse_none
from research.training.axes import BATCH


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the pair."""

    width: int = 64
    """channels of G's last hidden layer; the others are 2 and 4 times as wide"""
    discriminator_width: int | None = None
    """channels of D's first layer, the second is twice as wide; None: as G's last"""
    channels: int = 3
    """colours of a picture"""
    latent: int = 100
    """dimensions of the noise z"""
    final_norm: bool = True
    """BatchNorm before the tanh, as in the article; DCGAN leaves it out"""
    norm_momentum: float = 0.99
    """share of the old running statistics that is kept at a step (Keras' default)"""
    kernel_std: float | None = None
    """standard deviation of normal initial kernels (DCGAN: 0.02); None: Glorot uniform,
    Keras' default, as in the article"""
    slope: float = 0.3
    """LeakyReLU's slope below zero (Keras' default)"""

    family = "gan"

    def generator(self) -> nn.Module:
        refuse_fewer(self, 1, "width", "discriminator_width", "channels", "latent")
        refuse_none(self, "kernel_std")
        check_rates(norm_momentum=self.norm_momentum, slope=self.slope)
        return Generator(
            self.width,
            self.channels,
            self.final_norm,
            self.norm_momentum,
            kernel_init(self.kernel_std),
        )

    def discriminator(self) -> nn.Module:
        width = self.discriminator_width or self.width
        return Discriminator(width, self.slope, kernel_init(self.kernel_std))


def kernel_init(std: float | None) -> Callable:
    """Glorot uniform, or normal with the given standard deviation."""
    if std is None:
        return nn.initializers.glorot_uniform()
    return nn.initializers.normal(std)


class Generator(nn.Module):
    """Noise [batch, latent] → pictures [batch, 28, 28, channels] in [-1, 1]."""

    width: int
    channels: int
    final_norm: bool
    norm_momentum: float
    kernel_init: Callable

    @nn.compact
    def __call__(self, noise: jax.Array, train: bool) -> jax.Array:
        def norm(x):
            return nn.BatchNorm(
                use_running_average=not train,
                momentum=self.norm_momentum,
                epsilon=1e-3,
                axis_name=BATCH,
                use_fast_variance=False,
            )(x)

        width, init = self.width, self.kernel_init
        x = nn.Dense(7 * 7 * 4 * width, use_bias=False, kernel_init=init)(noise)
        x = nn.relu(x).reshape(-1, 7, 7, 4 * width)
        x = nn.relu(norm(ConvTranspose(2 * width, 1, init)(x)))
        x = nn.relu(norm(ConvTranspose(width, 2, init)(x)))
        x = ConvTranspose(self.channels, 2, init)(x)
        return jnp.tanh(norm(x) if self.final_norm else x)


class Discriminator(nn.Module):
    """Pictures [batch, 28, 28, channels] → logits [batch], large for real ones."""

    width: int
    slope: float
    kernel_init: Callable

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        del train  # has no BatchNorm and no dropout
        x = images
        for width in (self.width, 2 * self.width):
            x = Conv(width, 2, self.kernel_init)(x)
            x = nn.leaky_relu(x, self.slope)
        x = nn.Dense(1, kernel_init=self.kernel_init)(x.reshape(len(x), -1))
        return x[:, 0]


class Conv(nn.Module):
    """5×5 convolution with SAME padding and a bias, quick at second order too."""

    features: int
    stride: int
    kernel_init: Callable

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (5, 5, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return conv(x, kernel, (self.stride, self.stride)) + bias


class ConvTranspose(nn.Module):
    """5×5 transposed convolution with SAME padding, as Keras' Conv2DTranspose."""

    features: int
    stride: int
    kernel_init: Callable

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (5, 5, self.features, x.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        return conv_transpose(x, kernel, (self.stride, self.stride))
