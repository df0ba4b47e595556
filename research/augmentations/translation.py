"""Moves by up to an eighth of the picture, grey flows in (Zhao 2020, DiffAugment)."""

import jax
import jax.numpy as jnp


def augment(key: jax.Array, picture: jax.Array) -> jax.Array:
    """The picture moved by whole pixels down and across, 0 where it came from."""
    height, width, channels = picture.shape
    reach = ((height + 4) // 8, (width + 4) // 8)  # an eighth, rounded
    padded = jnp.pad(picture, ((reach[0],) * 2, (reach[1],) * 2, (0, 0)))
    most = 2 * jnp.array(reach)
    down, across = jax.random.randint(key, (2,), 0, most + 1)
    return jax.lax.dynamic_slice(padded, (down, across, 0), (height, width, channels))
