"""Vectors of symbols, by number or by a product, as suits the platform."""

import jax
import jax.numpy as jnp

from kernels import target

# Symbols beyond which rows are taken by number everywhere: one-hot rows of as many
# would be larger than all else of a step. Bytes are 256.
MANY = 4_096


def vectors(table: jax.Array, symbols: jax.Array) -> jax.Array:
    """The rows of a table, [..., width].

    The gradient of rows by number is a scatter. On an H200 that of 2,048 bytes took
    0.83 ms of a step of 2.0 (`train bible --budget full`, bfloat16): half of the bytes
    are one of six, whose additions wait for each other. So elsewhere than on a CPU,
    value and gradient are those of a product with one-hot rows, whose sums besides are
    rounded once; it is not timed on a GPU yet. There a number that is out of range
    gives zeros, and NaN in one row is NaN in all.

    Args:
      table: float [symbols, width].
      symbols: int [...], in [0, symbols).
    """
    count = len(table)
    if target.platform() == "cpu" or count > MANY:
        return jnp.take(table, symbols, axis=0)
    chosen = jax.nn.one_hot(symbols, count, dtype=table.dtype)
    return jnp.dot(chosen, table, precision=jax.lax.Precision.HIGHEST)
