"""The article's LSTM and its classifier, on the fused op of `kernels.lstm`.

    Input(time, features) → LSTM(hidden, return_sequences, return_state)
    → Dense(classes) at every step

The softmax belongs to the loss.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import LstmState
from research.errors import UserError
from research.layers.lstm import LstmLayer
from research.layers.reading import refuse_pair
from research.models._counts import refuse_fewer, refuse_kernel


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the sequence model."""

    hidden: int = 128
    """units of the LSTM"""
    classes: int = 10
    """symbols to choose from at each step"""
    backend: str | None = None
    """kernel backend; None takes the fastest that supports the case"""

    family = "lstm"

    def module(self) -> nn.Module:
        refuse_fewer(self, 1, "hidden", "classes")
        refuse_kernel(self.backend)
        return SequenceClassifier(self.hidden, self.classes, self.backend)


class Lstm(LstmLayer):
    """Keras' LSTM: [batch, time, features] → (output, state_h, state_c).

    `output` is [batch, time, hidden], or [batch, hidden] after the last step without
    `return_sequences`; both states are [batch, hidden]. Without `return_state` there is
    the output alone.
    """

    return_sequences: bool = True
    return_state: bool = True

    def __call__(self, *args, **options) -> Any:
        """Takes what an LstmLayer takes."""
        output, last = super().__call__(*args, **options)
        output = output if self.return_sequences else last.h
        return (output, last.h, last.c) if self.return_state else output


class SequenceClassifier(nn.Module):
    """[batch, time, features] → logits [batch, time, classes] and the last state."""

    hidden: int
    classes: int
    backend: str | None = None

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        train: bool = False,
        state: LstmState | None = None,
        lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
    ) -> tuple[jax.Array, LstmState]:
        refuse_pair(x)
        if jnp.issubdtype(x.dtype, jnp.integer):
            raise UserError(
                "the model lstm reads vectors, this task gives symbols: take --model "
                "stacked_lstm"
            )
        layer = Lstm(self.hidden, self.backend)
        output, h, c = layer(x, state, train, lengths, resets)
        return nn.Dense(self.classes)(output), LstmState(h, c)

    def start(self, pictures: int) -> LstmState:
        """The zero state of so many sequences."""
        zeros = jnp.zeros((pictures, self.hidden))
        return LstmState(zeros, zeros)
