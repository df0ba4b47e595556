"""Small random shifts, turns and scalings of pictures, inside the compiled step.

Each picture is turned, scaled and shifted about its centre by amounts of its own,
drawn evenly from ±2 pixels, ±0.22 rad (12.6°) and ±10 %, and read off by bilinear
interpolation; what comes in from outside is 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates


class Reach(NamedTuple):
    """The largest change of each kind, in either direction."""

    shift: float = 2.0  # pixels, along each axis
    turn: float = 0.22  # radians
    scale: float = 0.1  # share of the size


DEFAULT_REACH = Reach()


def augment(
    images: jax.Array, keys: jax.Array, reach: Reach = DEFAULT_REACH
) -> jax.Array:
    """Every picture moved a little, each by its own key.

    Args:
      images: uint8 [batch, height, width, channels].
      keys: [batch], of the draws: a picture's depends on its own key only.
      reach: how far.

    Returns:
      uint8 [batch, height, width, channels].
    """

    def one(image: jax.Array, key: jax.Array) -> jax.Array:
        turn, scale, *shift = jax.random.uniform(key, (4,), minval=-1)
        offset = reach.shift * jnp.stack(shift)
        return moved(image, reach.turn * turn, 1 + reach.scale * scale, offset)

    return jax.vmap(one)(images, keys)


def moved(
    image: jax.Array,
    turn: float | jax.Array,
    scale: float | jax.Array,
    shift: jax.Array,
) -> jax.Array:
    """One picture, uint8 [height, width, channels], turned, scaled, then shifted.

    Args:
      turn: radians, from the row axis towards the column axis.
      scale: 1.1 makes the picture a tenth larger.
      shift: [2], pixels down and to the right.
    """
    height, width, _ = image.shape
    centre = jnp.array([(height - 1) / 2, (width - 1) / 2])
    grid = jnp.stack(
        jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), axis=-1
    )
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    # The inverse: where each pixel of the result was before.
    back = jnp.array([[cos, sin], [-sin, cos]]) / scale
    rows, columns = jnp.moveaxis((grid - centre - shift) @ back.T + centre, -1, 0)

    def read(channel: jax.Array) -> jax.Array:
        return map_coordinates(channel, [rows, columns], order=1, mode="constant")

    pixels = jax.vmap(read, in_axes=-1, out_axes=-1)(image.astype(jnp.float32))
    return jnp.round(pixels).astype(jnp.uint8)
