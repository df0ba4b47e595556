"""`conv` and `conv_transpose`: three maps that are each other's derivatives.

A convolution, its transpose and its weight gradient are the three ways to read one
trilinear form  Σ x[b, y·s+i−p, ..] · k[i, j, c, o] · g[b, y, .., o].  So the gradient
of each is made of the other two, at every order, and nothing else is ever run. Left to
themselves, jax makes the weight gradient of a transposed convolution by sliding one
whole picture over another that is dilated, for which XLA on CPU has no fast path:
7×7×128 → 14×14×64 at batch 64 took 204 ms against 9 ms here. The same convolution
turns up when a critic's plain convolution is differentiated twice (R1, WGAN-GP), hence
`conv`.

On TPUs and GPUs float32 factors are rounded as those of any layer beside them: as jax's
default matmul precision says. (`kernels.lstm` adds up over time, and does not.)
"""

import functools
import operator
from collections.abc import Callable

import jax
from jax import lax

from kernels.conv_transpose import native

Pair = tuple[int, int]


def conv(x: jax.Array, kernel: jax.Array, strides: Pair = (1, 1)) -> jax.Array:
    """SAME convolution, as Keras' Conv2D without bias.

    Args:
      x: [batch, height, width, in].
      kernel: [rows, columns, in, out], of x's dtype.
      strides: steps down and across, at least 1.

    Returns:
      [batch, ⌈height/strides[0]⌉, ⌈width/strides[1]⌉, out] of x's dtype.

    Raises:
      ValueError: shapes, dtypes or strides that do not fit.
    """
    strides = _checked(x, kernel, strides, "[rows, columns, in, out]", 2)
    return _conv(x, kernel, strides)


def conv_transpose(
    x: jax.Array, kernel: jax.Array, strides: Pair = (2, 2)
) -> jax.Array:
    """Transposed SAME convolution, as Keras' Conv2DTranspose without bias.

    Args:
      x: [batch, height, width, in].
      kernel: [rows, columns, out, in] (Keras' layout), of x's dtype.
      strides: how much taller and wider the result is, at least 1.

    Returns:
      [batch, height·strides[0], width·strides[1], out] of x's dtype.

    Raises:
      ValueError: shapes, dtypes or strides that do not fit.
    """
    strides = _checked(x, kernel, strides, "[rows, columns, out, in]", 3)
    size = (x.shape[1] * strides[0], x.shape[2] * strides[1])
    return _transpose(x, kernel, strides, size)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv(x: jax.Array, kernel: jax.Array, strides: Pair) -> jax.Array:
    return _on_cpu(
        lambda x, kernel: native.conv(x, kernel, strides),
        lambda x, kernel: _plain_conv(x, kernel, strides),
        x,
        kernel,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _transpose(g: jax.Array, kernel: jax.Array, strides: Pair, size: Pair) -> jax.Array:
    """Gradient of `_conv` for its x of height and width `size`."""
    like = jax.ShapeDtypeStruct((g.shape[0], *size, kernel.shape[2]), g.dtype)

    def plain(g, kernel):
        run = jax.linear_transpose(lambda x: _plain_conv(x, kernel, strides), like)
        return run(g)[0]

    def fast(g, kernel):
        return native.transpose(g, kernel, strides, size)

    return _on_cpu(fast, plain, g, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _weight(x: jax.Array, g: jax.Array, strides: Pair, taps: Pair) -> jax.Array:
    """Gradient of `_conv` for its kernel of `taps` rows and columns."""
    like = jax.ShapeDtypeStruct((*taps, x.shape[3], g.shape[3]), x.dtype)

    def plain(x, g):
        run = jax.linear_transpose(lambda k: _plain_conv(x, k, strides), like)
        return run(g)[0]

    return _on_cpu(lambda x, g: native.weight(x, g, strides, taps), plain, x, g)


def _on_cpu(fast: Callable, plain: Callable, x: jax.Array, other: jax.Array):
    """`fast` where the program runs on CPU and native.py takes the arrays."""
    if native.refuses(x, other) is not None:
        return plain(x, other)
    return lax.platform_dependent(x, other, cpu=fast, default=plain)


def _plain_conv(x: jax.Array, kernel: jax.Array, strides: Pair) -> jax.Array:
    axes = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=axes)


def _conv_backward(strides: Pair, saved: tuple, g: jax.Array):
    x, kernel = saved
    return (
        _transpose(g, kernel, strides, x.shape[1:3]),
        _weight(x, g, strides, kernel.shape[:2]),
    )


def _transpose_backward(strides: Pair, size: Pair, saved: tuple, x: jax.Array):
    g, kernel = saved  # x is the cotangent, and has the shape of _conv's input
    return _conv(x, kernel, strides), _weight(x, g, strides, kernel.shape[:2])


def _weight_backward(strides: Pair, taps: Pair, saved: tuple, kernel: jax.Array):
    x, g = saved  # kernel is the cotangent
    return _transpose(g, kernel, strides, x.shape[1:3]), _conv(x, kernel, strides)


_conv.defvjp(lambda x, k, s: (_conv(x, k, s), (x, k)), _conv_backward)
_transpose.defvjp(
    lambda g, k, s, size: (_transpose(g, k, s, size), (g, k)), _transpose_backward
)
_weight.defvjp(lambda x, g, s, taps: (_weight(x, g, s, taps), (x, g)), _weight_backward)


def _checked(
    x: jax.Array, kernel: jax.Array, strides: Pair, layout: str, contracted: int
) -> Pair:
    if x.ndim != 4 or kernel.ndim != 4:
        raise ValueError(
            f"x has shape {x.shape} and kernel {kernel.shape}, but they must be "
            f"[batch, height, width, in] and {layout}"
        )
    if x.shape[3] != kernel.shape[contracted]:
        raise ValueError(
            f"x {x.shape} has {x.shape[3]} channels, but kernel {kernel.shape}, read "
            f"as {layout}, takes {kernel.shape[contracted]}"
        )
    if x.dtype != kernel.dtype:
        raise ValueError(
            f"x is {x.dtype} and kernel is {kernel.dtype}: cast one to the other's"
        )
    try:
        down, across = map(operator.index, strides)
    except (TypeError, ValueError):  # fractions, or not two
        down = across = 0
    if min(down, across) < 1:
        raise ValueError(
            f"strides are {strides}, but must be two whole numbers of 1 or more"
        )
    return (down, across)
