"""Brightness, saturation and contrast (Zhao 2020, as DiffAugment's `color`)."""

import jax
import jax.numpy as jnp


def augment(key: jax.Array, picture: jax.Array) -> jax.Array:
    """Adds up to ±½, then scales distances from grey by 0–2, from the mean by ½–1½."""
    brightness, saturation, contrast = jax.random.uniform(key, (3,))
    picture = picture + (brightness - 0.5)
    grey = jnp.mean(picture, axis=-1, keepdims=True)
    picture = grey + (picture - grey) * (2 * saturation)
    mean = jnp.mean(picture)
    return mean + (picture - mean) * (contrast + 0.5)
