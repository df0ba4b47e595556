"""Blanks a square of half the side (DeVries 2017; Zhao 2020, DiffAugment)."""

import jax
import jax.numpy as jnp


def augment(key: jax.Array, picture: jax.Array) -> jax.Array:
    """0 in a rectangle of half the height and width, centred anywhere in the picture.

    It is cut off at the edges, so that it is smaller near them.
    """
    middle = jax.random.uniform(key, (2,))
    inside = jnp.ones((1, 1), bool)
    for axis, size in enumerate(picture.shape[:2]):
        first = jnp.floor(middle[axis] * size) - size // 4
        place = jnp.arange(size)
        within = (place >= first) & (place < first + size // 2)
        inside = inside & jnp.expand_dims(within, 1 - axis)
    return jnp.where(inside[..., None], 0, picture)
