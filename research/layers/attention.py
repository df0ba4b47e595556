"""Attention: additive over what an encoder saw, and a Transformer's dot products."""

import flax.linen as nn
import jax
import jax.numpy as jnp

NEVER = -1e30  # a score whose softmax is 0 in float32, and whose product with 0 is 0


class BahdanauAttention(nn.Module):
    """Scores of a memory for queries: v·tanh(q·w_q + m·w_m) (Bahdanau 2015, A.1.2)."""

    width: int
    """units of the tanh"""

    def setup(self):
        self.query = nn.Dense(self.width, use_bias=False)
        self.memory = nn.Dense(self.width)
        self.score = nn.Dense(1, use_bias=False)

    def __call__(
        self, query: jax.Array, memory: jax.Array, lengths: jax.Array | None = None
    ) -> jax.Array:
        """How well each step of the memory answers each query.

        Args:
          query: [batch, queries, features].
          memory: [batch, time, features of its own].
          lengths: valid steps of each row's memory; None: all.

        Returns:
          [batch, queries, time]: logits, −1e30 past a row's end.
        """
        joined = self.query(query)[:, :, None] + self.memory(memory)[:, None]
        scores = self.score(jnp.tanh(joined))[..., 0]
        if lengths is None:
            return scores
        seen = jnp.arange(memory.shape[1]) < lengths[:, None]
        return jnp.where(seen[:, None], scores, NEVER)


def attended(scores: jax.Array, memory: jax.Array) -> jax.Array:
    """The memory's mean under softmax(scores), [batch, queries, features]."""
    return jnp.einsum("bqt,btf->bqf", jax.nn.softmax(scores), memory)


def dot_product_attention(
    query: jax.Array, key: jax.Array, value: jax.Array, seen: jax.Array
) -> jax.Array:
    """softmax(q·kᵀ/√width)·v for each head (Vaswani 2017, eq. 1).

    Args:
      query: [batch, queries, heads, width].
      key, value: [batch, time, heads, width].
      seen: bool [batch, queries, time]; each query sees at least one step.

    Returns:
      [batch, queries, heads, width].
    """
    scores = jnp.einsum("bqhw,bthw->bhqt", query, key) / query.shape[-1] ** 0.5
    scores = jnp.where(seen[:, None], scores, NEVER)
    return jnp.einsum("bhqt,bthw->bqhw", jax.nn.softmax(scores), value)


def rotated(x: jax.Array, position: jax.Array) -> jax.Array:
    """Rotary positions (Su 2021): products of two such depend on their distance.

    Args:
      x: [batch, time, heads, width], width even; its halves are the pairs' two parts.
      position: [time].

    Returns:
      x, pair k of each step turned by position·10000^(−2k/width).
    """
    half = x.shape[-1] // 2
    angle = position[:, None] * 10_000.0 ** (-jnp.arange(half) / half)
    cos, sin = jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]
    a, b = x[..., :half], x[..., half:]
    turned = jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)
    return turned.astype(x.dtype)
