"""Recurrent layers one above the other, and in both directions."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from research.layers.dropout import Dropout

Layer = Callable[..., Any]  # makes a recurrent layer, see research/layers/__init__.py


class Stack(nn.Module):
    """Layers, each reading the one below, with dropout between them (Zaremba 2014).

    The layers above the first are of one size: they run as one compiled lax.scan, and
    their parameters, under `upper`, have an axis of layers before their own.
    The state is a tuple of the layers' own.
    """

    layer: Layer
    layers: int
    dropout: float = 0.0
    """share of what goes from a layer to the next; the recurrence is left alone"""
    variational: bool = False
    """the same mask at every step"""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        state: tuple | None = None,
        train: bool = False,
        lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
    ) -> tuple[jax.Array, tuple]:
        state = self.start(len(x)) if state is None else state
        bottom = self.layer(name="bottom")
        y, first = bottom(x, state[0], train, lengths, resets)
        if self.layers == 1:
            return y, (first,)
        upper = nn.scan(
            _Upper,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast, nn.broadcast),  # type: ignore[arg-type]
            length=self.layers - 1,
        )(self.layer, self.dropout, self.variational, train, name="upper")
        above = jax.tree.map(lambda *a: jnp.stack(a), *state[1:])
        y, last = upper(y, above, lengths, resets)
        rest = [jax.tree.map(lambda a, n=n: a[n], last) for n in range(self.layers - 1)]
        return y, (first, *rest)

    def start(self, batch: int) -> tuple:
        """The zero state of so many rows."""
        one = self.layer(parent=None).start(batch)
        return (one,) * self.layers


class _Upper(nn.Module):
    """One layer above the first: what nn.scan repeats."""

    layer: Layer
    dropout: float
    variational: bool
    train: bool

    @nn.compact
    def __call__(self, y, state, lengths, resets):
        y = Dropout(self.dropout, self.variational)(y, self.train)
        return self.layer(name="layer")(y, state, self.train, lengths, resets)


class Bidirectional(nn.Module):
    """Two layers over the same x, one of them from the end (Graves 2013).

    y holds their outputs side by side, the forward one first; each row's end is its
    length. The state is (forward, backward). `layer` must take `reverse`.
    """

    layer: Layer

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        state: tuple | None = None,
        train: bool = False,
        lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
    ) -> tuple[jax.Array, tuple]:
        ahead, back = (None, None) if state is None else state
        forward = self.layer(name="forward")
        backward = self.layer(name="backward", reverse=True)
        y, ahead = forward(x, ahead, train, lengths, resets)
        z, back = backward(x, back, train, lengths, _ends(resets))
        return jnp.concatenate([y, z], -1), (ahead, back)

    def start(self, batch: int) -> tuple:
        """The zero states of so many rows."""
        return (self.layer(parent=None).start(batch),) * 2


def _ends(resets: jax.Array | None) -> jax.Array | None:
    """Where a reader from the end begins anew: one step before each beginning."""
    if resets is None:
        return None
    return jnp.pad(resets[:, 1:], ((0, 0), (0, 1)))
