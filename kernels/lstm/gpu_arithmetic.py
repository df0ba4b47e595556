"""The pointwise half of one step in the GPU kernels: cell.py's, with nothing cut.

Values in a GPU kernel cannot be sliced or joined: gates and peepholes lie apart.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

VALID, BEGINS, NEXT_BEGINS = 1, 2, 4  # bits of `flags`, for each row and step


class Squash(NamedTuple):
    """How σ and tanh are computed."""

    sigmoid: Callable[[jax.Array], jax.Array]
    tanh: Callable[[jax.Array], jax.Array]


def by_tanh(z: jax.Array) -> jax.Array:
    """σ(z) = ½ + ½·tanh(½·z): no division, no overflow."""
    return 0.5 * jnp.tanh(0.5 * z) + 0.5


# By tanh: one instruction of Hopper's, 5e-4 off at most. By exp: exact to 2e-7, and
# without NaN where exp overflows: 1 − 2/(1 + ∞).
BY_TANH = Squash(by_tanh, jnp.tanh)
BY_EXP = Squash(
    lambda z: 1.0 / (1.0 + jnp.exp(-z)), lambda z: 1.0 - 2.0 / (1.0 + jnp.exp(2.0 * z))
)


def squash_of(approximate: bool) -> Squash:
    return BY_TANH if approximate else BY_EXP


def activate(
    squash: Squash,
    z: list[jax.Array],
    c: jax.Array,
    peephole: list[jax.Array] | None,
) -> tuple[list[jax.Array], jax.Array]:
    """cell.activate for gates, and peepholes, that lie apart."""
    z_i, z_f, z_g, z_o = z
    if peephole is not None:
        z_i, z_f = z_i + peephole[0] * c, z_f + peephole[1] * c
    i, f, g = squash.sigmoid(z_i), squash.sigmoid(z_f), squash.tanh(z_g)
    c = f * c + i * g
    if peephole is not None:
        z_o = z_o + peephole[2] * c
    return [i, f, g, squash.sigmoid(z_o)], c


def through_gates(
    squash: Squash,
    gates: list[jax.Array],
    c: jax.Array,
    d_out: jax.Array,
    dc: jax.Array,
    peephole: list[jax.Array] | None,
) -> tuple[list[jax.Array], jax.Array]:
    """cell.backward for gates, and peepholes, that lie apart."""
    i, f, g, o = gates
    squashed = squash.tanh(f * c + i * g)
    dz_o = d_out * squashed * o * (1.0 - o)
    dc = dc + d_out * o * (1.0 - squashed * squashed)
    if peephole is not None:
        dc = dc + dz_o * peephole[2]
    dz_i, dz_f = dc * g * i * (1.0 - i), dc * c * f * (1.0 - f)
    dz_g = dc * i * (1.0 - g * g)
    dc = dc * f
    if peephole is not None:
        dc = dc + dz_i * peephole[0] + dz_f * peephole[1]
    return [dz_i, dz_f, dz_g, dz_o], dc


class Stepped(NamedTuple):
    """What one step gives, each of a tile's rows and a block's cells."""

    y: jax.Array
    h: jax.Array
    c: jax.Array
    c_in: jax.Array
    gates: list[jax.Array]


def advance(
    squash: Squash,
    z: list[jax.Array],
    state: tuple[jax.Array, jax.Array],
    peephole: list[jax.Array] | None,
    flags: jax.Array | None,
    dtype: Any,
) -> Stepped:
    """One step of h and c from the gates' sums; a row that has ended stays."""
    h, c = state
    c_in = unless(flags, BEGINS, c)
    gates, c_new = activate(squash, z, c_in, peephole)
    h_new = gates[3] * squash.tanh(c_new)
    # As everybody will see it: rounded.
    h_new = h_new.astype(dtype).astype(jnp.float32)
    y = unless(flags, VALID, h_new, absent=True)
    if flags is not None:
        h_new, c_new = where(flags, VALID, h_new, h), where(flags, VALID, c_new, c)
    return Stepped(y, h_new, c_new, c_in, gates)


def where(flags: jax.Array, bit: int, then: jax.Array, otherwise: jax.Array):
    return jnp.where((flags & bit) != 0, then, otherwise)


def unless(
    flags: jax.Array | None, bit: int, value: jax.Array, absent: bool = False
) -> jax.Array:
    """`value`, and zero where a bit is set; with `absent`, where it is not."""
    if flags is None:
        return value
    zero = jnp.zeros_like(value)
    return where(flags, bit, value, zero) if absent else where(flags, bit, zero, value)
