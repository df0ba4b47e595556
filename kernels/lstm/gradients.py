"""What surrounds a backend's two sweeps: GEMMs over all steps at once.

Deferring them is faster than summing in the loop, and with bfloat16 20 times more
exact: each gradient is one product, added up in float32.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from kernels.lstm import cell, steps
from kernels.lstm.backend import Core, SweptBack
from kernels.lstm.product import dot
from kernels.lstm.spec import LstmState, LstmWeights, Masks, Operands, wide


def input_gates(x: jax.Array, weights: LstmWeights) -> jax.Array:
    """xp = x·wx + b, [.., 4·hidden], rounded to x's dtype; of one step or of all."""
    precise = wide(x.dtype)
    return (dot(x, weights.wx) + weights.b.astype(precise)).astype(x.dtype)


def core(operands: Operands, masks: Masks) -> Core:
    """What the loops need of a call."""
    weights = operands.weights
    return Core(
        weights.wh,
        _wide_peephole(weights),
        weights.projection,
        operands.state,
        operands.h_mask,
        masks,
    )


def recomputed(operands: Operands, h: jax.Array, cells: jax.Array) -> jax.Array:
    """The gates of every step from the states that entered them, wide.

    Known states make the loop unnecessary: this is one GEMM.

    Args:
      h: [time, batch, projected], entering each step.
      cells: [time, batch, hidden], entering each step.
    """
    seen = h if operands.h_mask is None else h * operands.h_mask
    weights = operands.weights
    z = dot(seen, weights.wh)
    z += input_gates(operands.x, weights)
    return cell.activate(z, cells, _wide_peephole(weights))[0]


def deferred(
    operands: Operands,
    h: jax.Array,
    gates: jax.Array,
    cells: jax.Array,
    swept: SweptBack,
    products: Callable[..., tuple],
) -> Operands:
    """Cotangents of all operands from those of the gates.

    Args:
      h, cells: entering each step.
      gates: of each step.
      swept: what the backward sweep left.
      products: `weight_gradients`, or a backend's own.
    """
    x, weights, state, h_mask = operands
    dz = swept.dz
    seen = h if h_mask is None else h * h_mask
    dwx, dwh, db = products(x, seen, dz)
    d_weights = LstmWeights(
        wx=dwx.astype(weights.wx.dtype),
        wh=dwh.astype(weights.wh.dtype),
        b=db.astype(weights.b.dtype),
        peephole=_peephole_gradient(weights.peephole, gates, cells, dz),
        projection=_projection_gradient(weights.projection, gates, cells, swept.dh),
    )
    d_mask = None
    if h_mask is not None:
        d_seen = dot(dz, weights.wh.T)
        d_mask = jnp.sum(d_seen * h, 0).astype(h_mask.dtype)
    dx = dot(dz, weights.wx.T).astype(x.dtype)
    d_state = LstmState(
        swept.initial.h.astype(state.h.dtype), swept.initial.c.astype(state.c.dtype)
    )
    return Operands(dx, d_weights, d_state, d_mask)


def weight_gradients(
    x: jax.Array, h: jax.Array, dz: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Gradients of wx, wh and b, wide.

    Args:
      x: [time, batch, features].
      h: [time, batch, projected], as wh saw it.
      dz: [time, batch, 4·hidden].
    """
    db = jnp.sum(dz, (0, 1), dtype=wide(dz.dtype))
    return _summed(x, dz), _summed(h, dz), db


def _summed(left: jax.Array, right: jax.Array) -> jax.Array:
    """Σ over time and batch of leftᵀ·right, as one GEMM with a wide sum."""
    return dot(left, right, over=((0, 1), (0, 1)))


def _peephole_gradient(
    peephole: jax.Array | None, gates: jax.Array, cells: jax.Array, dz: jax.Array
) -> jax.Array | None:
    if peephole is None:
        return None
    after = _cells_after(gates, cells)
    dz_i, dz_f, _, dz_o = jnp.split(dz.astype(cells.dtype), 4, axis=-1)
    rows = [jnp.sum(a, (0, 1)) for a in (dz_i * cells, dz_f * cells, dz_o * after)]
    return jnp.stack(rows).astype(peephole.dtype)


def _projection_gradient(
    projection: jax.Array | None,
    gates: jax.Array,
    cells: jax.Array,
    dh: jax.Array | None,
) -> jax.Array | None:
    if projection is None or dh is None:
        return None
    out = cell.output(gates.astype(cells.dtype), _cells_after(gates, cells))
    return _summed(out.astype(projection.dtype), dh).astype(projection.dtype)


def _cells_after(gates: jax.Array, cells: jax.Array) -> jax.Array:
    i, f, g, _ = jnp.split(gates.astype(cells.dtype), 4, axis=-1)
    return f * cells + i * g


def _wide_peephole(weights: LstmWeights) -> jax.Array | None:
    peephole = weights.peephole
    return None if peephole is None else peephole.astype(wide(peephole.dtype))


def entering_h(y: jax.Array, operands: Operands, masks: Masks, reverse: bool):
    """The h that entered each step, from the outputs."""
    valid = steps.valid_steps(masks.lengths, len(y))
    return steps.entering(y, operands.state.h, valid, masks.resets, reverse)
