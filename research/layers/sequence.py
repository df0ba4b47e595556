"""What surrounds the layers of a sequence model: embedding, dropout, logits."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from research.errors import UserError
from research.layers.dropout import Dropout
from research.layers.embedding import vectors
from research.layers.reading import refuse_pair
from research.layers.stack import Layer


class SequenceModel(nn.Module):
    """Symbols [batch, time] or vectors [batch, time, features] → logits and state."""

    stack: Layer
    """makes the recurrent layers, see research/layers/__init__.py"""
    classes: int
    symbols: int
    """of an input of whole numbers"""
    embedding: int = 0
    """width of a symbol's vector; 0: one-hot"""
    tied: bool = False
    """logits by the embedding's vectors"""
    dropout: float = 0.0
    """share dropped of the layers' inputs and outputs"""
    variational: bool = False

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        train: bool = False,
        state: Any = None,
        lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
    ) -> tuple[jax.Array, Any]:
        """Logits [batch, time, classes] and the state after the last step.

        Args:
          inputs: whole numbers [batch, time] in [0, symbols), or floats
            [batch, time, features].
          train: dropout drops, by `rngs={"dropout": key}`.
          state: of `start` or of an earlier call; None is zeros.
          lengths, resets: see research/layers/__init__.py.
        """
        refuse_pair(inputs)
        dropout = Dropout(self.dropout, self.variational, name="dropout")
        x, table = inputs, None
        if jnp.issubdtype(inputs.dtype, jnp.integer):
            x, table = self._embedded(inputs)
        stack = self.stack(name="layers")
        y, last = stack(dropout(x, train), state, train, lengths, resets)
        y = dropout(y, train)
        if not self.tied:
            return nn.Dense(self.classes, name="logits")(y), last
        if table is None:
            raise UserError("--model.tied is for inputs of symbols, these are vectors")
        bias = self.param("bias", nn.initializers.zeros, (self.classes,))
        return table.attend(y) + bias, last

    def start(self, batch: int) -> Any:
        """The zero state of so many rows."""
        return self.stack(parent=None).start(batch)

    def _embedded(self, inputs: jax.Array) -> tuple[jax.Array, nn.Embed | None]:
        if not self.embedding:
            # As the weights: a Dense layer takes the wider of both for the product.
            made = jax.tree.leaves(self.variables.get("params", {}))
            dtype = made[0].dtype if made else jnp.float32
            return jax.nn.one_hot(inputs, self.symbols, dtype=dtype), None
        table = nn.Embed(self.symbols, self.embedding, name="embedding")
        return vectors(table.embedding, inputs), table


def check_symbols(
    tied: bool, embedding: int, width: int, symbols: int, classes: int
) -> None:
    """Raises UserError for a tied embedding that does not fit both of its ends."""
    if not tied:
        return
    if embedding != width:
        raise UserError(
            f"--model.tied asks for --model.embedding {width}, the width of the "
            f"layers' output; it is {embedding}"
        )
    if symbols != classes:
        raise UserError(
            f"--model.tied asks for the same symbols in and out, not {symbols} and "
            f"{classes}: leave --model.symbols out"
        )
