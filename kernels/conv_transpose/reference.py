"""The meaning of both ops as sums over kernel taps, one tap at a time.

Slow and plain: the oracle of the tests and the text to read first.
"""

import jax
import jax.numpy as jnp


def padding_before(size: int, taps: int, stride: int) -> int:
    """Zeros put before an axis of `size` by SAME; the odd one goes after."""
    outputs = -(-size // stride)
    return max((outputs - 1) * stride + taps - size, 0) // 2


def conv(x: jax.Array, kernel: jax.Array, strides: tuple[int, int]) -> jax.Array:
    """[batch, height, width, in] → [batch, ⌈height/s⌉, ⌈width/s⌉, out]."""
    rows, columns, _, out = kernel.shape
    batch, height, width, _ = x.shape
    above = padding_before(height, rows, strides[0])
    left = padding_before(width, columns, strides[1])
    # More padding than needed: the slices below pick what they want of it.
    padded = jnp.pad(
        x, ((0, 0), (above, height + rows), (left, width + columns), (0, 0))
    )
    tall, wide = -(-height // strides[0]), -(-width // strides[1])
    y = jnp.zeros((batch, tall, wide, out), x.dtype)
    for i in range(rows):
        for j in range(columns):
            down, across = strides
            seen = padded[:, i : i + tall * down : down, j : j + wide * across : across]
            y += seen @ kernel[i, j]
    return y


def conv_transpose(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int]
) -> jax.Array:
    """[batch, height, width, in] → [batch, height·s, width·s, out]."""
    rows, columns, out, _ = kernel.shape
    batch, height, width, _ = x.shape
    down, across = strides
    tall, wide = height * down, width * across
    above = padding_before(tall, rows, down)
    left = padding_before(wide, columns, across)
    y = jnp.zeros((batch, tall + rows + down, wide + columns + across, out), x.dtype)
    for i in range(rows):
        for j in range(columns):
            to = (
                slice(None),
                slice(i, i + tall, down),
                slice(j, j + wide, across),
            )
            y = y.at[to].add(x @ kernel[i, j].T)
    return y[:, above : above + tall, left : left + wide]
