"""A pointer network (Vinyals 2015): what it writes are places of its source.

    source → LSTM → memory e_1 … e_n
    step:  d = LSTM(e at the place written before), u_j = v·tanh(W₁·e_j + W₂·d)
    the logits are u: one for each place of the source

Inputs are a pair (source, previous): what is read, and for each place to be written the
one written before it, −1 for none. The paper feeds the decoder the source's own vector
there; ours is fed the encoder's output at that place.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from research.layers.attention import BahdanauAttention
from research.layers.lstm import LstmLayer
from research.layers.reading import Reading, as_vectors, pair_of, valid_lengths
from research.models._counts import refuse_fewer, refuse_kernel


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of encoder, decoder and pointer."""

    hidden: int = 128
    """units of the encoder and of the decoder"""
    symbols: int = 10
    """symbols that a source of whole numbers is made of"""
    attention: int = 64
    """units of the pointer's tanh"""
    backend: str | None = None
    """kernel backend; None takes the fastest that supports the case"""

    family = "lstm"

    def module(self) -> nn.Module:
        refuse_fewer(self, 1, "hidden", "symbols", "attention")
        refuse_kernel(self.backend)
        return PointerLstm(self.hidden, self.symbols, self.attention, self.backend)


class PointerLstm(nn.Module):
    """(source, previous) → logits [batch, steps, time], and what it goes on from."""

    hidden: int
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
        """Logits over the places of the source; −1e30 past a row's end.

        Args:
          inputs: source, whole numbers [batch, time] or floats [batch, time, features],
            and previous, whole numbers [batch, steps] in [−1, time).
          state: of an earlier call, to go on writing: the source is not read again.
          lengths: [batch] or None, the source's valid steps, at least 1.
        """
        del train  # nothing in it is dropped
        source, previous = pair_of(inputs)
        reading = self._read(source, lengths) if state is None else state
        memory, valid, start = reading
        # All places are known here, so the decoder is one fused sweep over the steps.
        before = jnp.take_along_axis(memory, jnp.maximum(previous, 0)[..., None], 1)
        before = jnp.where(previous[..., None] < 0, 0, before)
        decoder = LstmLayer(self.hidden, self.backend, name="decoder")
        written, last = decoder(before, start)
        pointer = BahdanauAttention(self.attention, name="pointer")
        return pointer(written, memory, valid), Reading(memory, valid, last)

    def _read(self, source: jax.Array, lengths: jax.Array | None) -> Reading:
        """The decoder starts where the encoder ended (Sutskever 2014)."""
        encoder = LstmLayer(self.hidden, self.backend, name="encoder")
        memory, last = encoder(as_vectors(source, self.symbols), lengths=lengths)
        return Reading(memory, valid_lengths(source, lengths), last)
