"""Layers of a discriminator, with or without spectral norm."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

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


class Projection(nn.Module):
    """The features' product with their class's vector: [batch] (Miyato 2018)."""

    classes: int
    spectral: bool = False

    @nn.compact
    def __call__(self, features: jax.Array, labels: jax.Array | None) -> jax.Array:
        assert labels is not None
        shape = (features.shape[-1], self.classes)
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), shape)
        if self.spectral:
            kernel = _spectral.normalized(self, kernel)
        return jnp.sum(features * kernel.T[labels], axis=-1)
