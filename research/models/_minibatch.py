"""Minibatch discrimination (Salimans 2016, section 3.2): D sees how alike they are."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from research.training.axes import BATCH


class MinibatchDiscrimination(nn.Module):
    """Features [batch, features] → [batch, features + kernels].

    M = f(x)·T gives each sample a matrix [kernels, dimensions]; to its features are
    added o_b(x_i) = Σⱼ exp(−‖M_ib − M_jb‖₁), over the other samples j of the batch, on
    all devices. A generator that draws one picture is known by it.
    """

    kernels: int
    dimensions: int = 5

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        shape = (features.shape[-1], self.kernels, self.dimensions)
        tensor = self.param("kernel", nn.initializers.normal(0.05), shape)
        mine = jnp.einsum("bf,fkd->bkd", features, tensor)
        all_of_them = mine
        if not self.is_initializing():
            all_of_them = jax.lax.all_gather(mine, BATCH, tiled=True)
        apart = jnp.abs(mine[:, None] - all_of_them[None]).sum(-1)
        closeness = jnp.exp(-apart).sum(1) - 1  # 1 is each sample's with itself
        return jnp.concatenate([features, closeness], axis=-1)
