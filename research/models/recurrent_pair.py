"""A recurrent GAN: an LSTM draws a sequence, another LSTM judges it.

generator  z = (style, noise of every step); style → Dense → the zero step's h and c;
           noise [time, noise] → LSTM layers → Dense(features) at every step
critic     sequence → LSTM layers → mean over time and last step → Dense 1

After RCGAN (Esteban 2017) and C-RNN-GAN (Mogren 2016), with a critic in the place of
their discriminators. Both nets run on `kernels.lstm`, whose gradient can be
differentiated again: so the critic takes a gradient penalty (WGAN-GP, Gulrajani 2017),
which cuDNN's LSTM cannot be differentiated for.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import LstmState
from research.layers.lstm import LstmLayer
from research.layers.stack import Bidirectional, Stack
from research.models._counts import refuse_fewer, refuse_kernel


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of the pair."""

    shape: tuple[int, int] = (24, 2)
    """steps and features of a sequence"""
    hidden: int = 64
    """units of each of G's layers"""
    critic_hidden: int | None = None
    """units of each of the critic's layers; None: as G's"""
    layers: int = 1
    """layers of each, one above the other"""
    style: int = 16
    """numbers of noise that a whole sequence shares"""
    noise: int = 4
    """numbers of noise that come anew at every step"""
    bounded: bool = False
    """tanh at G's end, for notes that sound or do not; real values have no bounds"""
    bidirectional: bool = False
    """the critic reads from both ends (C-RNN-GAN)"""
    backend: str | None = None
    """kernel backend; None takes the fastest that supports the case"""

    family = "gan"

    @property
    def latent(self) -> int:
        """Numbers of noise that a sequence is made from."""
        return self.style + self.shape[0] * self.noise

    def generator(self) -> nn.Module:
        refuse_kernel(self.backend)
        refuse_fewer(self, 1, "shape", "hidden", "critic_hidden", "layers", "style")
        refuse_fewer(self, 1, "noise")  # what G's LSTM reads
        return Generator(self)

    def discriminator(self) -> nn.Module:
        units = self.critic_hidden or self.hidden
        return Critic(units, self.layers, self.bidirectional, self.backend)


class Generator(nn.Module):
    """Noise [batch, latent] → sequences [batch, time, features]."""

    model: Model

    @nn.compact
    def __call__(self, noise: jax.Array, train: bool) -> jax.Array:
        del train
        model = self.model
        style, steps = jnp.split(noise, [model.style], axis=1)
        layer = functools.partial(LstmLayer, model.hidden, model.backend)
        start = Start(model.hidden, model.layers)(style)
        steps = steps.reshape(len(noise), model.shape[0], model.noise)
        y, _ = Stack(layer, model.layers)(steps, start)
        y = nn.Dense(model.shape[1])(y)
        return jnp.tanh(y) if model.bounded else y


class Start(nn.Module):
    """What a whole sequence shares [batch, style] → the state before its first step."""

    hidden: int
    layers: int

    @nn.compact
    def __call__(self, style: jax.Array) -> tuple[LstmState, ...]:
        made = nn.Dense(2 * self.layers * self.hidden)(style)
        each = jnp.split(made, 2 * self.layers, axis=1)
        pairs = zip(each[::2], each[1::2], strict=True)
        return tuple(LstmState(jnp.tanh(h), c) for h, c in pairs)


class Critic(nn.Module):
    """Sequences [batch, time, features] → logits [batch], large for real ones."""

    hidden: int
    layers: int = 1
    bidirectional: bool = False
    backend: str | None = None
    reads: int | None = None
    """the first so many features; None: all"""

    @property
    def packs(self) -> bool:
        """Whether it sees all of samples side by side."""
        return self.reads is None

    @nn.compact
    def __call__(self, samples: jax.Array, train: bool) -> jax.Array:
        del train
        layer = functools.partial(LstmLayer, self.hidden, self.backend)
        if self.bidirectional:
            layer = functools.partial(Bidirectional, layer)
        y, _ = Stack(layer, self.layers)(samples[..., : self.reads])
        seen = jnp.concatenate([y.mean(axis=1), y[:, -1]], axis=1)
        self.sow("intermediates", "features", seen)
        return nn.Dense(1)(seen)[:, 0]
