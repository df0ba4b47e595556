"""A picture as a sequence of symbols, drawn one by one in reading order.

A stacked digit is thresholded to one bit a colour, so a pixel is one of 8 symbols and
a picture is 784 of them. The model's input at a step is what is known by then: the
symbol before, the five symbols of the row above around it, and the position. The
product of its predictions is an exact likelihood, in bits a pixel (van den Oord 2016
models pictures this way).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from research.errors import UserError

SIDE = 28
SYMBOLS = 8
REACH = 2  # columns that are seen to either side in the row above
# Black, as the margin of every digit is: with a symbol of its own the first pixel, one
# of 784, was still a coloured guess after 200 steps.
OUTSIDE = 0
FEATURES = SYMBOLS * (1 + 2 * REACH + 1) + 2 * SIDE

Predict = Callable[[jax.Array, Any], tuple[jax.Array, Any]]


def encode(
    batch: dict[str, jax.Array], keys: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Inputs [batch, 784, 104], targets [batch, 784] in [0, 8)."""
    del keys
    targets = symbols(batch["image"])
    batch_size = len(targets)
    grid = targets.reshape(batch_size, SIDE, SIDE)
    before = jnp.pad(targets[:, :-1], ((0, 0), (1, 0)), constant_values=OUTSIDE)
    margin = ((0, 0), (1, 0), (REACH, REACH))
    above = jnp.pad(grid[:, :-1], margin, constant_values=OUTSIDE)
    seen = [above[:, :, i : i + SIDE] for i in range(2 * REACH + 1)]
    seen = jnp.stack([before.reshape(grid.shape), *seen], axis=-1)
    inputs = features(seen.reshape(batch_size, SIDE * SIDE, -1), jnp.arange(SIDE**2))
    return inputs, targets


def symbols(images: jax.Array) -> jax.Array:
    """uint8 pictures [batch, 28, 28, 3] → symbols int32 [batch, 784]: 4r + 2g + b.

    Raises:
      UserError: pictures of another shape.
    """
    if images.shape[1:] != (SIDE, SIDE, 3):
        raise UserError(
            f"the encoding pixels reads pictures of shape {(SIDE, SIDE, 3)}, the data "
            f"has {images.shape[1:]}: choose a --data.name or --task.encoding that fits"
        )
    bits = (images > 127).astype(jnp.int32)
    return jnp.einsum("bhwc,c->bhw", bits, jnp.array([4, 2, 1])).reshape(
        len(images), -1
    )


def pictures(symbols: jax.Array) -> jax.Array:
    """Symbols [batch, 784] → uint8 pictures [batch, 28, 28, 3] of 0 and 255."""
    bits = (symbols[..., None] >> jnp.array([2, 1, 0])) & 1
    return (bits * 255).astype(jnp.uint8).reshape(-1, SIDE, SIDE, 3)


def as_drawn(images: jax.Array) -> jax.Array:
    """uint8 pictures with each colour thresholded to 0 or 255: what can be drawn."""
    return pictures(symbols(images))


def features(seen: jax.Array, position: jax.Array) -> jax.Array:
    """One-hot inputs of steps.

    Args:
      seen: int [batch, time, 6], the symbol before and five of the row above.
      position: int [time], steps in reading order.

    Returns:
      [batch, time, 104] of zeros and ones.
    """
    row, column = position // SIDE, position % SIDE
    place = jnp.concatenate(
        [jax.nn.one_hot(row, SIDE), jax.nn.one_hot(column, SIDE)], axis=-1
    )
    known = jax.nn.one_hot(seen, SYMBOLS).reshape(*seen.shape[:2], -1)
    place = jnp.broadcast_to(place, (len(seen), *place.shape))
    return jnp.concatenate([known, place], axis=-1)


def draw(predict: Predict, start: Any, keys: jax.Array) -> jax.Array:
    """Pictures drawn symbol by symbol, in one loop.

    Args:
      predict: inputs [pictures, 1, 104] and a state → logits [pictures, 1, 8] and the
        next state.
      start: the state before the first pixel.
      keys: one a picture; a picture depends on its own key alone.

    Returns:
      uint8 [pictures, 28, 28, 3].
    """

    def pixel(carry, position):
        # `recent` holds the last SIDE + REACH symbols, oldest first: the row above
        # starts where the window does.
        recent, state = carry
        column = position % SIDE + jnp.arange(-REACH, REACH + 1)
        above = recent[:, : 2 * REACH + 1]
        above = jnp.where((column >= 0) & (column < SIDE), above, OUTSIDE)
        seen = jnp.concatenate([recent[:, -1:], above], axis=1)[:, None]
        logits, state = predict(features(seen, position[None]), state)
        here = jax.vmap(jax.random.fold_in, (0, None))(keys, position)
        chosen = _choose(here, logits)
        return (jnp.concatenate([recent[:, 1:], chosen[:, None]], 1), state), chosen

    recent = jnp.full((len(keys), SIDE + REACH), OUTSIDE, jnp.int32)
    _, chosen = jax.lax.scan(pixel, (recent, start), jnp.arange(SIDE * SIDE))
    return pictures(chosen.T)


def _choose(keys: jax.Array, logits: jax.Array) -> jax.Array:
    return jax.vmap(jax.random.categorical)(keys, logits[:, 0]).astype(jnp.int32)
