"""A picture and its label; in training the picture is turned, scaled and moved."""

import jax
import jax.numpy as jnp

from research.sources.affine import augment


def encode(
    batch: dict[str, jax.Array], keys: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Inputs [batch, height, width, channels] in [0, 1], targets [batch]."""
    images = batch["image"]
    if keys is not None:
        images = augment(images, keys)
    return images.astype(jnp.float32) / 255, batch["label"]
