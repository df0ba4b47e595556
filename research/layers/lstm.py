"""An LSTM layer on the fused op of `kernels.lstm`, with the field's regularisers.

On the fused path: peepholes (Gers 2002), projection (Sak 2014), variational recurrent
dropout (Gal & Ghahramani 2016: one mask on h for all steps) and DropConnect on wh
(Merity 2018, AWD). Layer normalisation and zoneout change what a step feeds the next
one, which no kernel of ours does: with either the layer runs as a plain lax.scan,
several times slower (normalised_lstm.py).

Initial values are Keras': Glorot uniform for the input, one orthogonal matrix
[hidden, 4·hidden] for the recurrence, zero biases but for the forget gate's 1
(Jozefowicz 2015).
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import LstmState, LstmWeights, lstm, lstm_cell
from kernels.lstm.spec import wide
from research.layers import normalised_lstm
from research.layers.dropout import mask
from research.layers.normalised_lstm import Norms, Zoneout
from research.layers.recurrence import without_padding


class LstmLayer(nn.Module):
    """One layer, one direction; see research/layers/__init__.py for the call."""

    hidden: int
    backend: str | None = None
    """kernel backend; None takes the fastest that supports the case"""
    residuals: str | None = None
    """what is kept for the gradient, see `kernels.lstm`"""
    reverse: bool = False
    """each row is read from its last valid step; y stays at its own steps"""
    projection: int = 0
    """columns of h; 0: none, h has `hidden`"""
    peephole: bool = False
    """gates i, f and o see the cell"""
    layer_norm: bool = False
    """of x·wx, h·wh and c (Ba 2016); not fused"""
    recurrent_dropout: float = 0.0
    """share of h hidden from wh, the same columns at every step"""
    weight_dropout: float = 0.0
    """share of wh's entries that are zero for a whole call (DropConnect)"""
    zoneout_h: float = 0.0
    """share of h that keeps its value at a step (Krueger 2017); not fused"""
    zoneout_c: float = 0.0
    """the same for c"""
    longest: int = 0
    """steps of the longest memory: initial biases of the gates i and f are `chrono`;
    0: 1 for the forget gate"""

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        state: LstmState | None = None,
        train: bool = False,
        lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
    ) -> tuple[jax.Array, LstmState]:
        weights = self._weights(x.shape[-1])
        x = x.astype(weights.wx.dtype)
        state = None if state is None else _as_weights(weights, state)
        h_mask = None
        if train and self.recurrent_dropout:
            shape = (len(x), self.width)
            key = self.make_rng("dropout")
            h_mask = mask(key, self.recurrent_dropout, shape, x.dtype)
        if train and self.weight_dropout:
            key, wh = self.make_rng("dropout"), weights.wh
            kept = mask(key, self.weight_dropout, wh.shape, wh.dtype)
            weights = weights._replace(wh=wh * kept)
        given: dict[str, Any] = {"lengths": lengths, "resets": resets, "h_mask": h_mask}
        fused = not (self.layer_norm or self.zoneout_h or self.zoneout_c)
        alone = state is not None and lengths is None and resets is None
        if fused and alone and x.shape[1] == 1:
            # A step of decoding. The sweep over time packs wh anew at each call: at 256
            # units a symbol took 229 µs by it and 42 µs by the cell (one text, CPU).
            assert state is not None
            y, state = lstm_cell(
                x[:, 0], state, weights, h_mask=h_mask, backend=self.backend
            )
            return y[:, None], state
        if fused:
            return lstm(
                x,
                weights,
                state,
                reverse=self.reverse,
                residuals=self.residuals,
                backend=self.backend,
                **given,
            )
        if state is None:
            state = _as_weights(weights, self.start(len(x)))
        key = self.make_rng("dropout") if train else None
        zoneout = Zoneout(self.zoneout_h, self.zoneout_c, key)
        return normalised_lstm.run(
            without_padding(x, lengths),
            weights,
            state,
            self._norms() if self.layer_norm else None,
            zoneout,
            reverse=self.reverse,
            **given,
        )

    @property
    def width(self) -> int:
        """Columns of y."""
        return self.projection or self.hidden

    def start(self, batch: int) -> LstmState:
        """The zero state of so many rows."""
        return LstmState(
            jnp.zeros((batch, self.width)), jnp.zeros((batch, self.hidden))
        )

    def _weights(self, features: int) -> LstmWeights:
        hidden, init = self.hidden, nn.initializers
        peephole = projection = None
        bias = functools.partial(chrono, self.longest) if self.longest else forget_one
        wx, wh, b = _matrices(self, features, self.width, hidden, bias)
        if self.peephole:
            peephole = self.param("peephole", init.zeros, (3, hidden))
        if self.projection:
            shape = (hidden, self.projection)
            projection = self.param("projection", init.orthogonal(), shape)
        return LstmWeights(wx, wh, b, peephole, projection)

    def _norms(self) -> Norms:
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        return Norms(
            self.param("x_scale", ones, (4 * self.hidden,)),
            self.param("h_scale", ones, (4 * self.hidden,)),
            self.param("c_scale", ones, (self.hidden,)),
            self.param("c_bias", zeros, (self.hidden,)),
        )


class LstmCell(nn.Module):
    """One step of an LstmLayer, for loops that do something else between two."""

    hidden: int

    @nn.compact
    def __call__(self, x: jax.Array, state: LstmState) -> tuple[jax.Array, LstmState]:
        """x [batch, features] → h [batch, hidden], and the state with it.

        The state comes back in the dtypes that it was given in.
        """
        made = _matrices(self, x.shape[-1], self.hidden, self.hidden, forget_one)
        weights = LstmWeights(*made)
        x = x.astype(weights.wx.dtype)
        h, after = lstm_cell(x, _as_weights(weights, state), weights)
        return h, jax.tree.map(lambda a, b: a.astype(b.dtype), after, state)


def _matrices(module: nn.Module, features: int, width: int, hidden: int, bias: Any):
    """wx, wh and b, as parameters of the module."""
    init = nn.initializers
    return (
        module.param("wx", init.glorot_uniform(), (features, 4 * hidden)),
        module.param("wh", init.orthogonal(), (width, 4 * hidden)),
        module.param("b", bias, (4 * hidden,)),
    )


def _as_weights(weights: LstmWeights, state: LstmState) -> LstmState:
    """h in the weights' dtype, c in float32 or wider: what the op takes."""
    dtype = weights.wx.dtype
    return LstmState(state.h.astype(dtype), state.c.astype(wide(dtype)))


def forget_one(key: jax.Array, shape: tuple[int], dtype=jnp.float32) -> jax.Array:
    """Zero biases but 1 for the forget gate, the second quarter of i, f, g, o."""
    del key
    hidden = shape[0] // 4
    return jnp.zeros(shape, dtype).at[hidden : 2 * hidden].set(1)


def chrono(
    longest: int, key: jax.Array, shape: tuple[int], dtype=jnp.float32
) -> jax.Array:
    """Biases with which units forget over 1 to `longest` steps, spread evenly.

    b_f = log u with u even in [1, longest − 1], b_i = −b_f (Tallec & Ollivier 2018,
    section 3): a unit of forget bias log u keeps a share u / (1 + u) at a step.
    """
    hidden = shape[0] // 4
    u = jax.random.uniform(key, (hidden,), dtype, 1, max(longest - 1, 1))
    zeros = jnp.zeros(2 * hidden, dtype)
    return jnp.concatenate([-jnp.log(u), jnp.log(u), zeros])
