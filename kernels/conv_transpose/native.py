"""The three maps of op.py in C++ on CPU; native.cc says what it gains."""

from pathlib import Path

import jax
import numpy as np

from kernels.native import build

SOURCE = Path(__file__).with_name("native.cc")
TARGETS = ("NativeConv", "NativeTranspose", "NativeWeight")
SMALLEST_BATCH = 4  # examples that share a tile; below, its rows are few and XLA wins

Pair = tuple[int, int]


def refuses(x: jax.Array, other: jax.Array) -> str | None:
    """None, or why these arrays are left to XLA."""
    if x.dtype != np.float32 or other.dtype != np.float32:
        return f"{x.dtype}: only float32 is done"
    if x.shape[0] < SMALLEST_BATCH or not (x.size and other.size):
        return f"batch {x.shape[0]}: fewer than {SMALLEST_BATCH} examples"
    return build.missing(SOURCE, TARGETS)


def conv(x: jax.Array, kernel: jax.Array, strides: Pair) -> jax.Array:
    """SAME convolution of x [batch, height, width, in]."""
    small = tuple(-(-n // s) for n, s in zip(x.shape[1:3], strides, strict=True))
    return _call(
        "NativeConv", (x.shape[0], *small, kernel.shape[3]), x, kernel, strides
    )


def transpose(g: jax.Array, kernel: jax.Array, strides: Pair, size: Pair) -> jax.Array:
    """Gradient of `conv` for its x of height and width `size`."""
    shape = (g.shape[0], *size, kernel.shape[2])
    return _call("NativeTranspose", shape, g, kernel, strides)


def weight(x: jax.Array, g: jax.Array, strides: Pair, taps: Pair) -> jax.Array:
    """Gradient of `conv` for its kernel of `taps` rows and columns."""
    return _call("NativeWeight", (*taps, x.shape[3], g.shape[3]), x, g, strides)


def _call(target: str, shape: tuple[int, ...], a, b, strides: Pair) -> jax.Array:
    result = jax.ShapeDtypeStruct(shape, a.dtype)
    run = jax.ffi.ffi_call(target, result, vmap_method="sequential")
    return run(a, b, strides=np.asarray(strides, np.int64))
