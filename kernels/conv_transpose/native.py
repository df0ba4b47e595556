"""The three maps of op.py in C++ on CPU; native.cc says what it gains."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from kernels.conv_transpose import spectral
from kernels.native import build

SOURCE = Path(__file__).with_name("native.cc")
TARGETS = (
    "NativeConv",
    "NativeTranspose",
    "NativeWeight",
    "NativeProducts",
    "NativeMix",
)
LEAST_GAIN = 1.5  # of spectral.py, whose transforms move more memory than they add up
SMALLEST_BATCH = 4  # examples that share a tile; below, its rows are few and XLA wins

Pair = tuple[int, ...]  # two: down, across


def refuses(x: jax.Array, other: jax.Array) -> str | None:
    """None, or why these arrays are left to XLA."""
    if x.dtype != np.float32 or other.dtype != np.float32:
        return f"{x.dtype}: only float32 is done"
    if x.shape[0] < SMALLEST_BATCH or not (x.size and other.size):
        return f"batch {x.shape[0]}: fewer than {SMALLEST_BATCH} examples"
    return build.missing(SOURCE, TARGETS)


def conv(x: jax.Array, kernel: jax.Array, strides: Pair) -> jax.Array:
    """SAME convolution of x [batch, height, width, in]."""
    if _spectral(x.shape, kernel.shape[:2], kernel.shape[3], strides):
        return spectral.conv(x, kernel, PRODUCTS)
    small = (-(-n // s) for n, s in zip(x.shape[1:3], strides, strict=True))
    return _call(TARGETS[0], (x.shape[0], *small, kernel.shape[3]), x, kernel, strides)


def transpose(g: jax.Array, kernel: jax.Array, strides: Pair, size: Pair) -> jax.Array:
    """Gradient of `conv` for its x of height and width `size`."""
    if _spectral(g.shape, kernel.shape[:2], kernel.shape[2], strides):
        return spectral.transpose(g, kernel, PRODUCTS)
    shape = (g.shape[0], *size, kernel.shape[2])
    return _call(TARGETS[1], shape, g, kernel, strides)


def weight(x: jax.Array, g: jax.Array, strides: Pair, taps: Pair) -> jax.Array:
    """Gradient of `conv` for its kernel of `taps` rows and columns."""
    if _spectral(x.shape, taps, g.shape[3], strides):
        return spectral.weight(x, g, taps, PRODUCTS)
    return _call(TARGETS[2], (*taps, x.shape[3], g.shape[3]), x, g, strides)


def multiplications(
    shape: Pair, taps: Pair, others: int, strides: Pair = (1, 1)
) -> int:
    """Of each of the three maps for `conv`'s x of `shape` and so many outputs."""
    batch, *size, channels = shape
    if _spectral(tuple(shape), taps, others, strides):
        return spectral.multiplications(batch, tuple(size), taps, (channels, others))
    return batch * channels * others * spectral.inside(tuple(size), taps, strides)


def _each(a: jax.Array, w: jax.Array, turned: str) -> jax.Array:
    rows, columns = (
        a.shape[2 if turned == "a" else 1],
        w.shape[1 if turned == "w" else 2],
    )
    result = jax.ShapeDtypeStruct((len(a), rows, columns), a.dtype)
    run = jax.ffi.ffi_call(TARGETS[3], result, vmap_method="sequential")
    return run(a, w, a_turned=turned == "a", w_turned=turned == "w")


def _mix(matrix: np.ndarray, x: jax.Array, back: bool) -> jax.Array:
    many = (x.shape[1], len(matrix)) if back else (len(matrix), x.shape[0])
    result = jax.ShapeDtypeStruct((*many, x.shape[2]), x.dtype)
    run = jax.ffi.ffi_call(TARGETS[4], result, vmap_method="sequential")
    return run(jnp.asarray(matrix), x, back=back)


PRODUCTS = spectral.Products(_each, _mix)


def _spectral(shape: tuple[int, ...], taps: Pair, others: int, strides: Pair) -> bool:
    batch, height, width, channels = shape
    size = (height, width)
    alone = strides == (1, 1) and max(size) <= 16  # the transforms are dense matrices
    return alone and spectral.gain(batch, size, taps, (channels, others)) > LEAST_GAIN


def _call(target: str, shape: tuple[int, ...], a, b, strides: Pair) -> jax.Array:
    result = jax.ShapeDtypeStruct(shape, a.dtype)
    run = jax.ffi.ffi_call(target, result, vmap_method="sequential")
    return run(a, b, strides=np.asarray(strides, np.int64))
