"""Sequence to sequence with attention, on LSTMs (Bahdanau 2015).

    source → LSTM in both directions → memory
    step:  context = memory's mean by attention(s), s = LSTM([previous, context], s)
           logits = Dense([s, context])

Inputs are a pair (source, previous): what is read, symbols or vectors, and for each
symbol to be written the one before it, beginning with a start symbol. The paper has a
GRU where this has an LSTM, and a maxout layer before the logits.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import LstmState
from research.layers.attention import BahdanauAttention, attended
from research.layers.lstm import LstmCell, LstmLayer
from research.layers.reading import Reading, as_vectors, pair_of, valid_lengths
from research.layers.stack import Bidirectional
from research.models._counts import refuse_fewer, refuse_kernel


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of encoder and decoder."""

    hidden: int = 128
    """units of the decoder, and of each direction of the encoder"""
    classes: int = 10
    """symbols to choose from at each step"""
    symbols: int | None = None
    """symbols that source and previous are made of; None: `classes`"""
    attention: int = 64
    """units of the attention's tanh"""
    backend: str | None = None
    """kernel backend of the encoder; None takes the fastest that supports the case"""

    family = "lstm"

    def module(self) -> nn.Module:
        refuse_fewer(self, 1, "hidden", "classes", "symbols", "attention")
        refuse_kernel(self.backend)
        symbols = self.symbols or self.classes
        sizes = (self.hidden, self.classes, symbols, self.attention)
        return AttentionLstm(*sizes, self.backend)


class AttentionLstm(nn.Module):
    """(source, previous) → logits [batch, steps, classes], and what it goes on from."""

    hidden: int
    classes: int
    symbols: int
    attention: int
    backend: str | None = None

    @nn.compact
    def __call__(
        self,
        inputs: tuple[jax.Array, jax.Array],
        train: bool = False,
        state: Reading | None = None,
        lengths: jax.Array | None = None,
    ) -> tuple[jax.Array, Reading]:
        """Logits of each symbol to be written.

        Args:
          inputs: source, whole numbers [batch, time] or floats [batch, time, features],
            and previous, whole numbers [batch, steps].
          state: of an earlier call, to go on writing: the source is not read again.
          lengths: [batch] or None, the source's valid steps, at least 1.
        """
        del train  # nothing in it is dropped
        source, previous = pair_of(inputs)
        reading = self._read(source, lengths) if state is None else state
        memory, valid, start = reading
        attend = BahdanauAttention(self.attention, name="attention")
        cell = LstmCell(self.hidden, name="decoder")

        def step(module: nn.Module, s: LstmState, symbol: jax.Array):
            del module  # whose parameters the two layers are
            scores = attend(s.h[:, None], memory, valid)
            context = attended(scores, memory)[:, 0]
            h, s = cell(jnp.concatenate([symbol, context], -1), s)
            return s, jnp.concatenate([h, context], -1)

        options = {"variable_broadcast": "params", "split_rngs": {"params": False}}
        loop = nn.scan(step, in_axes=1, out_axes=1, **options)
        last, found = loop(self, start, as_vectors(previous, self.symbols))
        logits = nn.Dense(self.classes, name="logits")(found)
        return logits, Reading(memory, valid, last)

    def _read(self, source: jax.Array, lengths: jax.Array | None) -> Reading:
        """The decoder starts from what the backward reading ended with (A.2.2)."""
        layer = functools.partial(LstmLayer, self.hidden, self.backend)
        encoder = Bidirectional(layer, name="encoder")
        x = as_vectors(source, self.symbols)
        memory, (_, backward) = encoder(x, lengths=lengths)
        h = jnp.tanh(nn.Dense(self.hidden, name="start")(backward.h))
        start = LstmState(h, jnp.zeros(h.shape))  # c is float32 beside any h
        return Reading(memory, valid_lengths(source, lengths), start)
