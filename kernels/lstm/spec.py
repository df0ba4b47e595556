"""What an LSTM is given and gives back, and which inputs are refused.

Axes: batch, time, features (of the input), hidden (cells), projected (h's columns;
the same as hidden without a projection). Gate columns lie in the order i, f, g, o:
input, forget, candidate, output. Everything in this folder relies on that one line.

    i = σ(z_i + p_i·c′)        z = x·wx + (h′·h_mask)·wh + b, h′ and c′ the state before
    f = σ(z_f + p_f·c′)
    g = tanh(z_g)
    c = f·c′ + i·g             (Hochreiter & Schmidhuber 1997; Gers, Schraudolph &
    o = σ(z_o + p_o·c)          Schmidhuber 2002 for f and the peepholes p)
    h = (o·tanh(c))·projection (Sak, Senior & Beaufays 2014)

c is float32 whatever the rest is (float64 if x is): a bfloat16 c forgets small steps.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

POLICIES = ("recompute", "store", "checkpoint")


class UnsupportedCase(ValueError):  # noqa: N818 (a case, not a fault)
    """A backend cannot do this case; the message says why and what can."""


class LstmWeights(NamedTuple):
    """All of x's dtype; b and peephole may be float32 beside a narrower x."""

    wx: jax.Array  # [features, 4·hidden]
    wh: jax.Array  # [projected, 4·hidden]
    b: jax.Array  # [4·hidden]
    peephole: jax.Array | None = None  # [3, hidden] for i, f, o
    projection: jax.Array | None = None  # [hidden, projected]


class LstmState(NamedTuple):
    h: jax.Array  # [batch, projected], of x's dtype
    c: jax.Array  # [batch, hidden], float32 (float64 if x is)


class Case(NamedTuple):
    """The facts a backend may refuse a call by: all are known before any value is."""

    batch: int
    time: int
    features: int
    hidden: int
    projected: int
    dtype: str
    peephole: bool
    projection: bool
    lengths: bool
    resets: bool
    h_mask: bool
    reverse: bool
    platform: str  # of the devices that the call will run on: cpu, gpu, tpu


class Operands(NamedTuple):
    """The arrays of one call that gradients are taken for; x is time-major."""

    x: jax.Array  # [time, batch, features]
    weights: LstmWeights
    state: LstmState
    h_mask: jax.Array | None  # [batch, projected]


class Masks(NamedTuple):
    """The arrays of one call that have no gradient."""

    lengths: jax.Array | None  # [batch], whole numbers
    resets: jax.Array | None  # [time, batch], bool

    @property
    def given(self) -> bool:
        """Whether there is any; `==` would compare arrays."""
        return any(mask is not None for mask in self)


def wide(dtype: jnp.dtype) -> jnp.dtype:
    """The dtype of c, of sums and of all pointwise arithmetic, for an x of `dtype`."""
    return jnp.promote_types(dtype, jnp.float32)


def zero_state(x: jax.Array, weights: LstmWeights, time_major: bool) -> LstmState:
    batch = x.shape[1 if time_major else 0]
    projected, columns = weights.wh.shape
    return LstmState(
        jnp.zeros((batch, projected), x.dtype),
        jnp.zeros((batch, columns // 4), wide(x.dtype)),
    )


def check_inputs(
    x: jax.Array,
    weights: LstmWeights,
    state: LstmState | None,
    lengths: jax.Array | None,
    resets: jax.Array | None,
    h_mask: jax.Array | None,
    time_major: bool,
) -> None:
    """Compares every shape and dtype with the rules above.

    Raises:
      ValueError: one line with the shapes, and the rule that they break.
    """
    order = "[time, batch, features]" if time_major else "[batch, time, features]"
    if x.ndim != 3 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x is {x.dtype}{list(x.shape)}, but must be float {order}")
    time, batch = x.shape[:2] if time_major else (x.shape[1], x.shape[0])
    _check_weights(x, weights)
    projected, hidden = weights.wh.shape[0], weights.wh.shape[1] // 4
    if state is not None:
        _expect("state.h", state.h, (batch, projected), x.dtype, "[batch, projected]")
        _expect("state.c", state.c, (batch, hidden), wide(x.dtype), "[batch, hidden]")
    if h_mask is not None:
        _expect("h_mask", h_mask, (batch, projected), x.dtype, "[batch, projected]")
    if resets is not None:
        shape = (time, batch) if time_major else (batch, time)
        _expect("resets", resets, shape, jnp.dtype(bool), "x's first two axes")
    if lengths is not None:
        _check_lengths(lengths, batch, time)


def _check_weights(x: jax.Array, weights: LstmWeights) -> None:
    features = x.shape[2]
    if weights.wh.ndim != 2 or weights.wh.shape[1] % 4:
        raise ValueError(
            f"wh has shape {weights.wh.shape}, but must be [projected, 4·hidden]"
        )
    projected, columns = weights.wh.shape
    hidden = columns // 4
    dtype, vectors = x.dtype, (x.dtype, wide(x.dtype))
    _expect("wx", weights.wx, (features, columns), dtype, "[features, 4·hidden]")
    _expect("wh", weights.wh, (projected, columns), dtype, "[projected, 4·hidden]")
    _expect("b", weights.b, (columns,), vectors, "[4·hidden]")
    if weights.peephole is not None:
        _expect("peephole", weights.peephole, (3, hidden), vectors, "[3, hidden]")
    if weights.projection is not None:
        shape = (hidden, projected)
        _expect("projection", weights.projection, shape, dtype, "[hidden, projected]")
    elif projected != hidden:
        raise ValueError(
            f"wh {weights.wh.shape} has {projected} rows for {hidden} hidden cells: "
            f"without a projection it must be [hidden, 4·hidden]"
        )


def _expect(name: str, array: jax.Array, shape: tuple, dtypes, rule: str) -> None:
    allowed = dtypes if isinstance(dtypes, tuple) else (dtypes,)
    if array.shape != shape:
        raise ValueError(
            f"{name} has shape {array.shape}, but x and wh ask for {shape}: {rule}"
        )
    if array.dtype not in allowed:
        wanted = " or ".join(dict.fromkeys(str(d) for d in allowed))
        raise ValueError(f"{name} is {array.dtype}, but must be {wanted}: cast it")


def _check_lengths(lengths: jax.Array, batch: int, time: int) -> None:
    if lengths.shape != (batch,) or not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(
            f"lengths is {lengths.dtype}{list(lengths.shape)}, but must be whole "
            f"numbers of shape ({batch},): one length per row"
        )
    if isinstance(lengths, Tracer | jax.ShapeDtypeStruct):
        return  # values are unknown inside jit, where the mask clips them instead
    values = np.asarray(lengths)
    if values.size and not (values.min() >= 0 and values.max() <= time):
        wrong = values[(values < 0) | (values > time)][0]
        raise ValueError(f"lengths holds {wrong}, but must lie in [0, {time}]")
