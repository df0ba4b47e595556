"""Baselines beside the LSTM: the gated recurrent unit and the plain tanh cell.

Both run as a lax.scan with x·wx worked out before it; no kernel of ours fuses them.
Sums, and the state inside the scan, are float32 whatever the weights are.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels.lstm.product import dot
from research.layers.recurrence import recur, without_padding


class GruLayer(nn.Module):
    """The GRU (Cho 2014) with the reset after the product, as cuDNN and Keras have it.

        r = σ(x·wx_r + h·wh_r + b_r)
        z = σ(x·wx_z + h·wh_z + b_z)
        n = tanh(x·wx_n + b_n + r·(h·wh_n + b_h))
        h = (1 − z)·n + z·h

    Columns lie in the order r, z, n, as in PyTorch. Initial values are Keras': Glorot
    uniform, orthogonal, zeros. See research/layers/__init__.py for the call.
    """

    hidden: int
    reverse: bool = False
    """each row is read from its last valid step; y stays at its own steps"""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        state: jax.Array | None = None,
        train: bool = False,
        lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        del train  # nothing in it is dropped
        hidden, init = self.hidden, nn.initializers
        wx = self.param("wx", init.glorot_uniform(), (x.shape[-1], 3 * hidden))
        wh = self.param("wh", init.orthogonal(), (hidden, 3 * hidden))
        b = self.param("b", init.zeros, (3 * hidden,))
        b_h = self.param("b_h", init.zeros, (hidden,))

        def step(h: jax.Array, xp: jax.Array) -> jax.Array:
            of_h = jnp.split(dot(h.astype(x.dtype), wh), 3, axis=-1)
            of_x = jnp.split(xp, 3, axis=-1)
            r, z = (jax.nn.sigmoid(of_x[k] + of_h[k]) for k in (0, 1))
            n = jnp.tanh(of_x[2] + r * (of_h[2] + b_h))
            return (1 - z) * n + z * h

        x = x.astype(wx.dtype)
        xp = dot(without_padding(x, lengths), wx) + b
        state = self.start(len(x)) if state is None else state
        state, y = state.astype(xp.dtype), lambda h: h.astype(x.dtype)
        return recur(step, y, xp, state, lengths, resets, self.reverse)

    def start(self, batch: int) -> jax.Array:
        """The zero state of so many rows."""
        return jnp.zeros((batch, self.hidden))


class TanhLayer(nn.Module):
    """The simple recurrent network (Elman 1990): h = tanh(x·wx + h·wh + b)."""

    hidden: int
    reverse: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        state: jax.Array | None = None,
        train: bool = False,
        lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        del train  # nothing in it is dropped
        init = nn.initializers
        wx = self.param("wx", init.glorot_uniform(), (x.shape[-1], self.hidden))
        wh = self.param("wh", init.orthogonal(), (self.hidden, self.hidden))
        b = self.param("b", init.zeros, (self.hidden,))
        x = x.astype(wx.dtype)
        xp = dot(without_padding(x, lengths), wx) + b
        state = self.start(len(x)) if state is None else state
        state, y = state.astype(xp.dtype), lambda h: h.astype(x.dtype)
        step = lambda h, xp: jnp.tanh(xp + dot(y(h), wh))  # noqa: E731
        return recur(step, y, xp, state, lengths, resets, self.reverse)

    def start(self, batch: int) -> jax.Array:
        """The zero state of so many rows."""
        return jnp.zeros((batch, self.hidden))
