"""The article's LSTM and its classifier, on the fused op of `kernels.lstm`.

    Input(time, features) → LSTM(hidden, return_sequences, return_state)
    → Dense(classes) at every step

The softmax belongs to the loss. Initial values are Keras': Glorot uniform for the
input, one orthogonal matrix [hidden, 4·hidden] for the recurrence, zero biases but
for the forget gate's 1 (Jozefowicz 2015).
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import LstmState, LstmWeights, lstm


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
        return SequenceClassifier(self.hidden, self.classes, self.backend)


class Lstm(nn.Module):
    """One LSTM layer: [batch, time, features] → (output, state_h, state_c).

    `output` is [batch, time, hidden], both states are [batch, hidden].
    """

    hidden: int
    backend: str | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, state: LstmState | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        weights = LstmWeights(
            self.param(
                "wx",
                nn.initializers.glorot_uniform(),
                (x.shape[-1], 4 * self.hidden),
            ),
            self.param(
                "wh", nn.initializers.orthogonal(), (self.hidden, 4 * self.hidden)
            ),
            self.param("b", forget_one, (4 * self.hidden,)),
        )
        output, last = lstm(x, weights, state, backend=self.backend)
        return output, last.h, last.c


class SequenceClassifier(nn.Module):
    """[batch, time, features] → logits [batch, time, classes] and the last state."""

    hidden: int
    classes: int
    backend: str | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, state: LstmState | None = None
    ) -> tuple[jax.Array, LstmState]:
        del train  # no dropout and no BatchNorm
        output, h, c = Lstm(self.hidden, self.backend)(x, state)
        return nn.Dense(self.classes)(output), LstmState(h, c)

    def start(self, pictures: int) -> LstmState:
        """The zero state of so many sequences."""
        zeros = jnp.zeros((pictures, self.hidden))
        return LstmState(zeros, zeros)


def forget_one(key: jax.Array, shape: tuple[int], dtype=jnp.float32) -> jax.Array:
    """Zero biases but 1 for the forget gate, the second quarter of i, f, g, o."""
    del key
    hidden = shape[0] // 4
    return jnp.zeros(shape, dtype).at[hidden : 2 * hidden].set(1)
