"""The LSTM with layer normalisation and with zoneout, as a plain loop.

    z = LN(x·wx; α_x) + LN(h·wh; α_h) + b
    c = f·c + i·g,  h = o·tanh(LN(c; α_c, β_c))    Ba, Kiros & Hinton 2016, eq. 20-22

    h = m·h_before + (1 − m)·h_new, m drawn for each step and unit; its mean when not
    training; c likewise, with draws of its own          Krueger et al. 2017, eq. 4-5

Neither is in the fused kernels: this is a lax.scan that jax differentiates.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels import LstmState, LstmWeights
from kernels.lstm import cell
from kernels.lstm.product import dot
from research.layers.recurrence import recur

EPSILON = 1e-5  # under the root of the variance, as in Ba's code and in PyTorch


class Norms(NamedTuple):
    """Scales and the shift; x's and h's shifts would be b again."""

    x_scale: jax.Array  # [4·hidden]
    h_scale: jax.Array  # [4·hidden]
    c_scale: jax.Array  # [hidden]
    c_bias: jax.Array  # [hidden]


class Zoneout(NamedTuple):
    h: float  # share of h's entries that keep their value
    c: float
    key: jax.Array | None  # of the draws; None: their mean


def run(
    x: jax.Array,
    weights: LstmWeights,
    state: LstmState,
    norms: Norms | None,
    zoneout: Zoneout,
    lengths: jax.Array | None = None,
    resets: jax.Array | None = None,
    h_mask: jax.Array | None = None,
    reverse: bool = False,
) -> tuple[jax.Array, LstmState]:
    """As `kernels.lstm`; x [batch, time, features] is finite past a row's end."""
    xp = dot(x, weights.wx)
    if norms is not None:
        xp = normalise(xp) * norms.x_scale
    xp += weights.b
    drawn = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])

    def step(before: LstmState, given) -> LstmState:
        xp, position = given
        seen = before.h if h_mask is None else before.h * h_mask
        z = dot(seen, weights.wh)
        if norms is not None:
            z = normalise(z) * norms.h_scale
        gates, c = cell.activate(z + xp, before.c, weights.peephole)
        shown = c
        if norms is not None:
            shown = normalise(c) * norms.c_scale + norms.c_bias
        h = cell.output(gates, shown).astype(x.dtype)
        if weights.projection is not None:
            h = dot(h, weights.projection).astype(x.dtype)
        return _zone_out(zoneout, position[0], LstmState(h, c), before)

    return recur(step, lambda s: s.h, (xp, drawn), state, lengths, resets, reverse)


def normalise(z: jax.Array) -> jax.Array:
    """Mean 0 and variance 1 over the last axis."""
    z = z - z.mean(-1, keepdims=True)
    return z * jax.lax.rsqrt((z * z).mean(-1, keepdims=True) + EPSILON)


def _zone_out(
    zoneout: Zoneout, position: jax.Array, new: LstmState, old: LstmState
) -> LstmState:
    keys = None, None
    if zoneout.key is not None:
        keys = jax.random.split(jax.random.fold_in(zoneout.key, position))
    rates = (zoneout.h, zoneout.c)
    return LstmState(*(_mixed(*row) for row in zip(keys, rates, new, old, strict=True)))


def _mixed(key: jax.Array | None, rate: float, new: jax.Array, old: jax.Array):
    if not rate:
        return new
    if key is None:
        return (rate * old + (1 - rate) * new).astype(new.dtype)
    share = jnp.float32(rate)  # a population's has no dtype of its own
    return jnp.where(jax.random.bernoulli(key, share, new.shape), old, new)
