"""A GAN of texts: an LSTM writes symbol by symbol, another LSTM judges.

generator  at each step  LSTM(symbol before) → logits → + Gumbel noise
           trained       softmax(· / τ): a soft one-hot with a gradient (Gumbel-softmax,
                         Jang 2017, Maddison 2017; for texts Kusner 2016)
           drawing       the largest: an exact draw from softmax(logits)
critic     of recurrent_pair, over one-hots

τ falls from `first_temperature` to `last_temperature` by a constant factor a step: soft
samples are far from any real one but have gradients of low variance. The noise of the
game is normal; −log(−log Φ(z)) makes it Gumbel's, so that a text is a function of z.
"""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr

from kernels import LstmState
from research.errors import UserError
from research.layers.lstm import LstmCell
from research.models._counts import refuse_fewer, refuse_none
from research.models.recurrent_pair import Critic

BYTES = 256  # width of a one-hot of the medium `text`


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the pair."""

    length: int = 33
    """bytes of a text: one more than --data.length"""
    hidden: int = 128
    """units of G's LSTM"""
    critic_hidden: int | None = None
    """units of the critic's; None: as G's"""
    symbols: int = 128
    """of the 256 bytes, the first that G writes and the critic sees: 128 is ASCII"""
    first_temperature: float = 1.0
    """τ at the first step of training"""
    last_temperature: float = 0.2
    """τ at the last one"""
    straight_through: bool = False
    """the critic sees the largest symbol alone, with the gradient of the soft one"""
    bidirectional: bool = False
    """the critic reads from both ends"""

    family = "gan"

    @property
    def latent(self) -> int:
        """Numbers of noise that a text is made from."""
        return self.length * self.symbols

    def generator(self) -> nn.Module:
        refuse_fewer(self, 1, "length", "hidden", "critic_hidden")
        refuse_none(self, "first_temperature", "last_temperature")
        if not 1 <= self.symbols <= BYTES:
            raise UserError(f"--model.symbols is {self.symbols}: give 1 to {BYTES}")
        return Writer(self)

    def refuse_data(self, arrays: Mapping[str, jax.Array]) -> None:
        """Raises UserError for a text of bytes that G cannot write nor the critic see.

        It would be told apart by them, whatever G writes.
        """
        largest = int(arrays["text"].max()) if "text" in arrays else 0
        if largest >= self.symbols:
            raise UserError(
                f"--model.symbols {self.symbols}: the text has bytes up to {largest}; "
                f"give {largest + 1} or more"
            )

    def discriminator(self) -> nn.Module:
        units = self.critic_hidden or self.hidden
        return Critic(units, bidirectional=self.bidirectional, reads=self.symbols)


class Writer(nn.Module):
    """Noise [batch, latent] → texts as shares of 256 bytes [batch, length, 256]."""

    model: Model
    anneals = True

    @nn.compact
    def __call__(
        self, noise: jax.Array, train: bool, progress: jax.Array | float = 1.0
    ) -> jax.Array:
        model = self.model
        ends = model.first_temperature, model.last_temperature
        temperature = ends[0] * (ends[1] / ends[0]) ** progress
        steps = noise.reshape(len(noise), model.length, model.symbols)
        gumbel = -jnp.log(-log_ndtr(steps.astype(jnp.float32)))
        zeros = jnp.zeros((len(noise), model.hidden))
        before = LstmState(zeros, zeros), jnp.zeros((len(noise), model.symbols))
        loop = nn.scan(
            Step,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=(1, nn.broadcast),  # type: ignore[arg-type]
            out_axes=1,
        )(model.hidden, model.symbols, not train, model.straight_through)
        _, texts = loop(before, gumbel, temperature)
        return jnp.pad(texts, ((0, 0), (0, 0), (0, BYTES - model.symbols)))


class Step(nn.Module):
    """One symbol [batch, symbols] from the state, the symbol before and its noise."""

    hidden: int
    symbols: int
    hard: bool
    straight_through: bool

    @nn.compact
    def __call__(self, before, gumbel, temperature):
        state, last = before
        h, state = LstmCell(self.hidden)(last, state)
        disturbed = nn.Dense(self.symbols)(h) + gumbel
        largest = jax.nn.one_hot(jnp.argmax(disturbed, axis=-1), self.symbols)
        if self.hard:
            return (state, largest), largest
        shares = nn.softmax(disturbed / temperature)
        if self.straight_through:
            shares += jax.lax.stop_gradient(largest - shares)
        return (state, shares), shares
