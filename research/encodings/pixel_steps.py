"""A picture pixel by pixel, and its label asked for after the last.

Sequential MNIST (Le 2015): 784 steps of one number each.
"""

import jax
import jax.numpy as jnp


def encode(
    batch: dict[str, jax.Array], keys: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Inputs [batch, pixels, channels] in [0, 1], targets int32 [batch, 1]."""
    del keys
    images = batch["image"]
    steps = images.reshape(len(images), -1, images.shape[-1])
    return steps.astype(jnp.float32) / 255, batch["label"][:, None]
