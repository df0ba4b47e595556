"""A SAME convolution of stride 1 over few positions, by way of their Fourier transform.

Around a torus of N positions a convolution is one product a frequency, and N need only
be so large that what wraps around falls outside the picture: 9 for 5 taps over 7. The
trilinear form of op.py then is

    Σ_m (to_points · x)[m] · (to_taps · kernel)[m] · (from_points · g)[m]

with real matrices: a complex product is three real ones (Gauss), whose sums are folded
into them. For 5×5 taps over 7×7 positions m is 121, where the taps inside the picture
are 841: 3.5 times less to multiply at batch 64 and 256 → 128 channels, transforms
included. The DFT is orthogonal, so float32 loses nothing (Winograd's points would).
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np


class Products(NamedTuple):
    """The two kinds of matrix products that all is made of."""

    # (a [m, rows, depth], w [m, depth, columns], turned) → a·w for each m; "a" takes a
    # as [m, depth, rows], "w" takes w as [m, columns, depth], "" neither.
    each: Callable[[jax.Array, jax.Array, str], jax.Array]
    # (matrix [rows, depth], x [many, depth, columns], back) → [rows, many, columns];
    # `back` takes x as [depth, many, columns] and gives [many, rows, columns].
    mix: Callable[[np.ndarray, jax.Array, bool], jax.Array]


class Transform(NamedTuple):
    """float32 matrices; rows and columns of positions and taps lie flat."""

    points: np.ndarray  # [m, height·width]
    taps: np.ndarray  # [m, rows·columns]
    back: np.ndarray  # [height·width, m]


@functools.cache
def transform(size: tuple[int, ...], taps: tuple[int, ...]) -> Transform:
    """The matrices for a picture of `size` and a kernel of `taps`, both (down, across).

    They are made in float64.
    """
    axes = [_axis(n, k) for n, k in zip(size, taps, strict=True)]
    numbers = [len(axis.points) for axis in axes]
    rows: tuple[list, ...] = ([], [], [])
    for u, v in np.ndindex(*numbers):
        mirror = (-u % numbers[0], -v % numbers[1])
        if mirror < (u, v):
            continue  # the conjugate of one that is there already
        # numpy's stubs give a complex array no real part, hence Any.
        x, w, y = (
            _outer(down[u], across[v]) for down, across in zip(*axes, strict=True)
        )
        if mirror == (u, v):
            new = ([x.real], [w.real], [y.real])
        else:
            # With p = (xr + xi)·wr, q = xr·(wi − wr), r = xi·(wr + wi) the product is
            # (p − r) + i·(p + q); its mirror doubles the real part of y times it.
            new = (
                [x.real + x.imag, x.real, x.imag],
                [w.real, w.imag - w.real, w.real + w.imag],
                [2 * (y.real - y.imag), -2 * y.imag, -2 * y.real],
            )
        for all_of, some in zip(rows, new, strict=True):
            all_of.extend(some)
    points, kernel, back = (np.asarray(part, np.float32) for part in rows)
    return Transform(points, kernel, back.T)


def _outer(down: np.ndarray, across: np.ndarray) -> Any:
    return np.outer(down, across).ravel()


class _Axis(NamedTuple):
    points: np.ndarray  # complex [frequencies, positions]
    taps: np.ndarray  # complex [frequencies, taps]
    back: np.ndarray  # complex [frequencies, positions]


def _axis(positions: int, taps: int) -> _Axis:
    before = (taps - 1) // 2
    number = positions + taps - 1 - before
    waves = 2j * np.pi * np.arange(number)[:, None] / number
    back = np.exp(waves * np.arange(positions)) / number
    shifted = np.exp(waves * (np.arange(taps) - before))
    return _Axis(np.exp(-waves * np.arange(positions)), shifted, back)


def inside(
    size: tuple[int, ...], taps: tuple[int, ...], strides: tuple[int, ...]
) -> int:
    """Taps that fall inside a picture of `size`, over all places of a SAME kernel."""
    found = 1
    for positions, number, stride in zip(size, taps, strides, strict=True):
        places = -(-positions // stride)
        before = max((places - 1) * stride + number - positions, 0) // 2
        reach = stride * np.arange(places)[:, None] + np.arange(number) - before
        found *= int(((reach >= 0) & (reach < positions)).sum())
    return found


def multiplications(
    batch: int, size: tuple[int, ...], taps: tuple[int, ...], channels: tuple[int, int]
) -> int:
    """Of each of the three maps below: the products and the three transforms."""
    places, kernel = math.prod(size), math.prod(taps)
    torus = [n + k - 1 - (k - 1) // 2 for n, k in zip(size, taps, strict=True)]
    # Nearly: a frequency that is its own mirror takes one product, not 3/2.
    m = 3 * math.prod(torus) // 2
    moved = (
        batch * places * (channels[0] + channels[1])
        + kernel * channels[0] * channels[1]
    )
    return m * (batch * channels[0] * channels[1] + moved)


def gain(
    batch: int, size: tuple[int, ...], taps: tuple[int, ...], channels: tuple[int, int]
) -> float:
    """How many times fewer products there are than with the taps inside the picture."""
    direct = batch * math.prod(channels) * inside(size, taps, (1,) * len(size))
    return direct / multiplications(batch, size, taps, channels)


def conv(x: jax.Array, kernel: jax.Array, products: Products) -> jax.Array:
    """SAME convolution, stride 1, of x [batch, height, width, in]."""
    matrices = transform(x.shape[1:3], kernel.shape[:2])
    x_points = products.mix(matrices.points, _flat(x), False)
    y = products.each(x_points, _of(matrices, kernel, products), "")
    return products.mix(matrices.back, y, True).reshape(*x.shape[:3], -1)


def transpose(g: jax.Array, kernel: jax.Array, products: Products) -> jax.Array:
    """Gradient of `conv` for x, from that of its result."""
    matrices = transform(g.shape[1:3], kernel.shape[:2])
    g_points = products.mix(matrices.back.T, _flat(g), False)
    x = products.each(g_points, _of(matrices, kernel, products), "w")
    return products.mix(matrices.points.T, x, True).reshape(*g.shape[:3], -1)


def weight(
    x: jax.Array, g: jax.Array, taps: tuple[int, ...], products: Products
) -> jax.Array:
    """Gradient of `conv` for its kernel of `taps`."""
    matrices = transform(x.shape[1:3], taps)
    x_points = products.mix(matrices.points, _flat(x), False)
    g_points = products.mix(matrices.back.T, _flat(g), False)
    kernel = products.each(x_points, g_points, "a")
    flat = products.mix(matrices.taps.T, kernel.reshape(len(kernel), 1, -1), True)
    return flat.reshape(*taps, x.shape[3], g.shape[3])


def _flat(x: jax.Array) -> jax.Array:
    """[batch, height, width, channels] → [batch, height·width, channels]."""
    return x.reshape(x.shape[0], -1, x.shape[3])


def _of(matrices: Transform, kernel: jax.Array, products: Products) -> jax.Array:
    """[rows, columns, in, out] → [m, in, out]."""
    rows, columns, *channels = kernel.shape
    flat = kernel.reshape(1, rows * columns, -1)
    return products.mix(matrices.taps, flat, False).reshape(-1, *channels)
