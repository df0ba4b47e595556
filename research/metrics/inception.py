"""Inception v3 (Szegedy 2015) as FID reads it (Heusel 2017): 2,048 numbers a picture.

The weights are TensorFlow's of 2015-12-05 under the names that torch users know,
`pt_inception-2015-12-05`: `Mixed_5b.branch1x1.conv.weight` and so on. That network is
not torchvision's: means leave the padding out, and the last block pools by maximum.

Pictures get there as in the original graph: bytes, scaled to 299×299 by TensorFlow 1's
bilinear rule (pixel i of 299 lies at i · size / 299: no half-pixel shift, and no
smoothing), then (x − 128) / 128. Another rule gives another distance (Parmar 2022).

Axes: pictures, height, width, channels.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SIDE = 299  # pixels
FEATURES = 2_048
CLASSES = 1_008  # of the graph's last layer; torchvision's file has 1,000
EPSILON = 1e-3  # of BatchNorm

# (x, name, width, kernel, stride, padding) → convolution, BatchNorm and ReLU. One has
# the weights, another writes down what they must be.
Layer = Callable[..., jax.Array]
THREE, FIVE, ROW, COLUMN = (3, 3), (5, 5), (1, 7), (7, 1)  # kernels, height by width
DOWN = (THREE, 2, "VALID")  # halves the size


def features(weights: dict[str, tuple[Any, Any]], pixels: jax.Array) -> jax.Array:
    """The means over positions of the last block: what FID calls pool3.

    Args:
      weights: kernel [height, width, in, out] and shift [out] of each layer by name, as
        `folded` gives them.
      pixels: float32 [pictures, height, width, 3] in [-1, 1], 75 or more on each side.

    Returns:
      float32 [pictures, 2048].
    """

    def layer(x, name, width, kernel=(1, 1), stride=1, padding="SAME"):
        del width, kernel
        weight, shift = weights[name]
        return jax.nn.relu(_convolved(x, weight, stride, padding) + shift)

    return _network(pixels, layer)


def layout() -> dict[str, tuple[int, ...]]:
    """The shapes of a file of weights by name, kernels as torch has them (out, in, …).

    The last layer is in it, though no feature needs it: it tells whose the weights are.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(x, name, width, kernel=(1, 1), stride=1, padding="SAME"):
        shapes[f"{name}.conv.weight"] = (width, x.shape[-1], *kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = (width,)
        weight = jnp.zeros((*kernel, x.shape[-1], width))
        return _convolved(x, weight, stride, padding)

    jax.eval_shape(lambda x: _network(x, layer), jnp.zeros((1, SIDE, SIDE, 3)))
    return shapes | {"fc.weight": (CLASSES, FEATURES), "fc.bias": (CLASSES,)}


def folded(arrays: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernels and shifts of arrays named as in `layout`, with BatchNorm in them.

    scale = γ / √(σ² + 0.001); kernel · scale, β − μ · scale.
    """
    found = {}
    for name in (n.removesuffix(".conv.weight") for n in arrays if ".conv." in n):
        gamma, beta, mean, variance = (
            arrays[f"{name}.bn.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        kernel = np.transpose(arrays[f"{name}.conv.weight"], (2, 3, 1, 0)) * scale
        shift = beta - mean * scale
        found[name] = kernel.astype(np.float32), shift.astype(np.float32)
    return found


def scaled(images: Any, side: int = SIDE) -> jax.Array:
    """uint8 [pictures, height, width, 1 or 3] → [pictures, side, side, 3] in [-1, 1].

    Grey is given to each of the three colours.
    """
    rows, columns = (_weights(size, side) for size in images.shape[1:3])
    pixels = jnp.asarray(images, jnp.float32)
    found = jnp.einsum("ih,nhwc,jw->nijc", rows, pixels, columns, precision="highest")
    colours = jnp.broadcast_to(found, (*found.shape[:3], 3))
    return (colours - 128) / 128


def _weights(size: int, side: int) -> np.ndarray:
    """TensorFlow 1's bilinear weights [side, size]: pixel i lies at i · size / side."""
    place = np.arange(side, dtype=np.float32) * np.float32(size / side)
    low = np.floor(place).astype(int)
    part = place - low
    found = np.zeros((side, size), np.float32)
    np.add.at(found, (np.arange(side), low), 1 - part)
    np.add.at(found, (np.arange(side), np.minimum(low + 1, size - 1)), part)
    return found


def _network(x: jax.Array, layer: Layer) -> jax.Array:
    """The whole of it, up to the means; sizes are those of 299×299 pixels."""
    x = layer(x, "Conv2d_1a_3x3", 32, *DOWN)
    x = layer(x, "Conv2d_2a_3x3", 32, THREE, 1, "VALID")
    x = _halved(layer(x, "Conv2d_2b_3x3", 64, THREE))
    x = layer(x, "Conv2d_3b_1x1", 80)
    x = _halved(layer(x, "Conv2d_4a_3x3", 192, THREE, 1, "VALID"))  # 35×35
    for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
        x = _fives(x, _within(layer, name), pooled)
    x = _to_17(x, _within(layer, "6a"))
    for name, inner in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        x = _sevens(x, _within(layer, name), inner)
    x = _to_8(x, _within(layer, "7a"))
    x = _forks(x, _within(layer, "7b"), _mean)
    x = _forks(x, _within(layer, "7c"), _largest)  # Heusel's graph has it so
    return x.mean(axis=(1, 2))


def _fives(x: jax.Array, layer: Layer, pooled: int) -> jax.Array:
    return _joined(
        layer(x, "branch1x1", 64),
        _chain(x, layer, ("branch5x5_1", 48), ("branch5x5_2", 64, FIVE)),
        _chain(
            x, layer, *_threes("branch3x3dbl", 64, 96), ("branch3x3dbl_3", 96, THREE)
        ),
        layer(_mean(x), "branch_pool", pooled),
    )


def _to_17(x: jax.Array, layer: Layer) -> jax.Array:
    return _joined(
        layer(x, "branch3x3", 384, *DOWN),
        _chain(
            x, layer, *_threes("branch3x3dbl", 64, 96), ("branch3x3dbl_3", 96, *DOWN)
        ),
        _halved(x),
    )


def _sevens(x: jax.Array, layer: Layer, inner: int) -> jax.Array:
    once = (
        ("branch7x7_1", inner),
        ("branch7x7_2", inner, ROW),
        ("branch7x7_3", 192, COLUMN),
    )
    twice = (
        ("branch7x7dbl_1", inner),
        ("branch7x7dbl_2", inner, COLUMN),
        ("branch7x7dbl_3", inner, ROW),
        ("branch7x7dbl_4", inner, COLUMN),
        ("branch7x7dbl_5", 192, ROW),
    )
    return _joined(
        layer(x, "branch1x1", 192),
        _chain(x, layer, *once),
        _chain(x, layer, *twice),
        layer(_mean(x), "branch_pool", 192),
    )


def _to_8(x: jax.Array, layer: Layer) -> jax.Array:
    sevens = (
        ("branch7x7x3_1", 192),
        ("branch7x7x3_2", 192, ROW),
        ("branch7x7x3_3", 192, COLUMN),
        ("branch7x7x3_4", 192, *DOWN),
    )
    return _joined(
        _chain(x, layer, ("branch3x3_1", 192), ("branch3x3_2", 320, *DOWN)),
        _chain(x, layer, *sevens),
        _halved(x),
    )


def _forks(x: jax.Array, layer: Layer, pool: Callable) -> jax.Array:
    def fork(x, name):
        return [layer(x, f"{name}a", 384, (1, 3)), layer(x, f"{name}b", 384, (3, 1))]

    return _joined(
        layer(x, "branch1x1", 320),
        *fork(layer(x, "branch3x3_1", 384), "branch3x3_2"),
        *fork(_chain(x, layer, *_threes("branch3x3dbl", 448, 384)), "branch3x3dbl_3"),
        layer(pool(x), "branch_pool", 192),
    )


def _threes(name: str, first: int, second: int) -> tuple[tuple, tuple]:
    return (f"{name}_1", first), (f"{name}_2", second, THREE)


def _chain(x: jax.Array, layer: Layer, *steps: tuple) -> jax.Array:
    return functools.reduce(lambda x, step: layer(x, *step), steps, x)


def _within(layer: Layer, block: str) -> Layer:
    return lambda x, name, *shape: layer(x, f"Mixed_{block}.{name}", *shape)


def _convolved(x: jax.Array, weight: Any, stride: int, padding: str) -> jax.Array:
    # Unless it is asked for, tensor cores round to 10 bits and matrix units to 8.
    return lax.conv_general_dilated(
        x, weight, (stride, stride), padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest",
    )  # fmt: skip


def _joined(*branches: jax.Array) -> jax.Array:
    return jnp.concatenate(branches, axis=-1)


def _halved(x: jax.Array) -> jax.Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")


def _largest(x: jax.Array) -> jax.Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")


def _mean(x: jax.Array) -> jax.Array:
    """Of the positions of each 3×3 window that are inside the picture."""
    window = (1, 3, 3, 1), (1, 1, 1, 1), "SAME"
    count = lax.reduce_window(jnp.ones_like(x[:1, ..., :1]), 0.0, lax.add, *window)
    return lax.reduce_window(x, 0.0, lax.add, *window) / count
