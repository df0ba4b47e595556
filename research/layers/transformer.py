"""A causal Transformer behind the interface of a recurrent layer.

Each step sees itself and the `context` − 1 steps before it, within its own document.
The state holds the keys and values of the last `context` steps, so that reading in
pieces, or symbol by symbol, is reading at once, as with an LSTM.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from research.layers.attention import dot_product_attention, rotated
from research.layers.dropout import Dropout
from research.layers.recurrence import without_padding


class TransformerState(NamedTuple):
    """What has been read; slots that nothing was read into have document −1."""

    keys: jax.Array  # [batch, blocks, context, heads, width], without their positions
    values: jax.Array
    documents: jax.Array  # int32 [batch, context], the number of each slot's document
    document: jax.Array  # int32 [batch], that of the last step


class Transformer(nn.Module):
    """Blocks of attention and a two-layer network, normalised before each.

    x + attention(LN(x)), then x + network(LN(x)) with GELU and four times the width,
    and a last LN: Vaswani 2017 in the order of GPT-2. Positions are rotary.
    """

    width: int
    blocks: int
    heads: int
    context: int
    """steps that a step sees, its own among them"""
    dropout: float = 0.0
    """share dropped of what each half block adds"""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        state: TransformerState | None = None,
        train: bool = False,
        lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
    ) -> tuple[jax.Array, TransformerState]:
        """As a recurrent layer, see research/layers/__init__.py."""
        batch, time = x.shape[:2]
        state = self.start(batch) if state is None else state
        documents = _documents(state, batch, time, resets)
        seen = self._seen(documents, time)
        x = nn.Dense(self.width, name="input")(without_padding(x, lengths))
        keys, values = [], []
        for block in range(self.blocks):
            past = state.keys[:, block], state.values[:, block]
            layer = Block(self.width, self.heads, self.dropout, name=f"block_{block}")
            x, key, value = layer(x, past, seen, train)
            keys.append(key)
            values.append(value)
        y = without_padding(nn.LayerNorm(name="norm")(x), lengths)
        return y, self._after(
            jnp.stack(keys, 1), jnp.stack(values, 1), documents, lengths
        )

    def start(self, batch: int) -> TransformerState:
        """Nothing read."""
        width = self.width // self.heads
        empty = jnp.zeros((batch, self.blocks, self.context, self.heads, width))
        nowhere = jnp.full((batch, self.context), -1, jnp.int32)
        return TransformerState(empty, empty, nowhere, jnp.zeros(batch, jnp.int32))

    def _seen(self, documents: jax.Array, time: int) -> jax.Array:
        """bool [batch, time, context + time]: what each new step sees."""
        here = self.context + jnp.arange(time)
        there = jnp.arange(self.context + time)
        near = (there <= here[:, None]) & (there > here[:, None] - self.context)
        same = documents[:, self.context :, None] == documents[:, None]
        return near & same

    def _after(self, keys, values, documents, lengths) -> TransformerState:
        """The last `context` valid steps of all that is known."""
        batch, known = documents.shape
        read = jnp.full(batch, known - self.context) if lengths is None else lengths
        slots = read[:, None] + jnp.arange(self.context)
        kept = jnp.take_along_axis(documents, slots, 1)
        slots = slots[:, None, :, None, None]
        return TransformerState(
            jnp.take_along_axis(keys, slots, 2),
            jnp.take_along_axis(values, slots, 2),
            kept,
            jnp.maximum(kept[:, -1], 0),
        )


class Block(nn.Module):
    """Attention over past and present, then a network of each step by itself."""

    width: int
    heads: int
    dropout: float

    @nn.compact
    def __call__(self, x, past, seen, train):
        """Its output [batch, time, width], and all keys and values, past and new."""
        split = (self.heads, self.width // self.heads)
        normal = nn.LayerNorm(name="attention_norm")(x)
        made = nn.DenseGeneral((3, *split), name="query_key_value")(normal)
        query, key, value = jnp.moveaxis(made, 2, 0)
        past = [known.astype(key.dtype) for known in past]
        key = jnp.concatenate([past[0], key], 1)
        value = jnp.concatenate([past[1], value], 1)
        position = jnp.arange(key.shape[1])
        query = rotated(query, position[key.shape[1] - query.shape[1] :])
        found = dot_product_attention(query, rotated(key, position), value, seen)
        found = nn.DenseGeneral(self.width, axis=(-2, -1), name="output")(found)
        x += Dropout(self.dropout)(found, train)
        inner = nn.Dense(4 * self.width, name="inner")(nn.LayerNorm(name="norm")(x))
        inner = nn.Dense(self.width, name="outer")(nn.gelu(inner, approximate=False))
        return x + Dropout(self.dropout)(inner, train), key, value


def _documents(state, batch: int, time: int, resets) -> jax.Array:
    """[batch, context + time]: the number of the document of each known step."""
    begun = jnp.zeros((batch, time), jnp.int32)
    if resets is not None:
        begun = jnp.cumsum(resets, axis=1, dtype=jnp.int32)
    return jnp.concatenate([state.documents, state.document[:, None] + begun], 1)
