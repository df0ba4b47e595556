"""The pointwise half of one step, forward and backward.

All arrays here are [.., hidden] or, packed, [.., 4·hidden] in the order i, f, g, o, and
of the wide dtype (float32). What is the same for all four gates is done on the packed
array: on CPU, beside its GEMM, a step's arithmetic took a third of the time of the same
with the gates apart (batch 64, hidden 256). Folding the ½ of σ into the weights and
another order of the gates gained nothing more.
"""

import jax
import jax.numpy as jnp
import numpy as np


def activate(
    z: jax.Array, c: jax.Array, peephole: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Gates and the new cell.

    Args:
      z: packed [.., 4·hidden], before the peepholes.
      c: [.., hidden], the cell entering the step.
      peephole: [3, hidden] for i, f, o, or None.

    Returns:
      gates, packed, and c after the step.
    """
    if peephole is None:
        gates = _squash(z)
        i, f, g, _ = jnp.split(gates, 4, axis=-1)
        return gates, f * c + i * g
    p_i, p_f, p_o = peephole
    z_i, z_f, z_g, z_o = jnp.split(z, 4, axis=-1)
    i, f = jax.nn.sigmoid(z_i + p_i * c), jax.nn.sigmoid(z_f + p_f * c)
    g = jnp.tanh(z_g)
    c = f * c + i * g
    o = jax.nn.sigmoid(z_o + p_o * c)
    return jnp.concatenate([i, f, g, o], axis=-1), c


def output(gates: jax.Array, c: jax.Array) -> jax.Array:
    """o·tanh(c), h before any projection; c is the cell after the step."""
    return gates[..., 3 * c.shape[-1] :] * jnp.tanh(c)


def backward(
    gates: jax.Array,
    c: jax.Array,
    d_output: jax.Array,
    dc: jax.Array,
    peephole: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """Cotangents through one step.

    Args:
      gates: packed, as `activate` gave them.
      c: [.., hidden], the cell *entering* the step.
      d_output: cotangent of o·tanh(c after the step).
      dc: cotangent of the cell after the step, from later steps.
      peephole: [3, hidden] for i, f, o, or None.

    Returns:
      dz, packed, and the cotangent of the cell entering the step.
    """
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    squashed = jnp.tanh(f * c + i * g)
    dc += d_output * o * (1 - squashed * squashed)
    if peephole is not None:
        dc += d_output * squashed * o * (1 - o) * peephole[2]
    of_gates = jnp.concatenate([g, c, i, squashed], axis=-1)
    of_gates *= jnp.concatenate([dc, dc, dc, d_output], axis=-1)
    # σ′ = σ·(1 − σ), tanh′ = (1 + tanh)·(1 − tanh)
    dz = of_gates * ((gates + _per_gate(gates, [0, 0, 1, 0])) * (1 - gates))
    dc *= f
    if peephole is not None:
        dz_i, dz_f, _, _ = jnp.split(dz, 4, axis=-1)
        dc += dz_i * peephole[0] + dz_f * peephole[1]
    return dz, dc


def _squash(z: jax.Array) -> jax.Array:
    """σ on i, f and o, tanh on g, as one tanh: σ(z) = ½ + ½·tanh(½·z)."""
    scale = _per_gate(z, [0.5, 0.5, 1, 0.5])
    return (1 - scale) + scale * jnp.tanh(scale * z)


def _per_gate(packed: jax.Array, values: list[float]) -> jax.Array:
    """A row of constants as wide as `packed`, one value for each gate."""
    return jnp.asarray(np.repeat(values, packed.shape[-1] // 4), packed.dtype)
