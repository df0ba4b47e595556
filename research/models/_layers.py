"""Dense and convolution layers of a discriminator, with or without spectral norm."""

from collections.abc import Callable

import flax.linen as nn
import jax

from kernels import conv
from research.models import _spectral

DEFAULT = nn.initializers.lecun_normal()


class Dense(nn.Module):
    """x [..., inputs] → [..., features], the kernel over its σ if `spectral`."""

    features: int
    spectral: bool = False
    kernel_init: Callable = DEFAULT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if self.spectral:
            kernel = _spectral.normalized(self, kernel)
        return x @ kernel + bias


class Conv(nn.Module):
    """SAME convolution with a bias, quick at second order too."""

    features: int
    size: int = 3
    stride: int = 1
    spectral: bool = False
    kernel_init: Callable = DEFAULT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if self.spectral:
            kernel = _spectral.normalized(self, kernel)
        return conv(x, kernel, (self.stride, self.stride)) + bias
