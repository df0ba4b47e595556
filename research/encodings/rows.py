"""Each row of a digit is one step, and every step is labelled with the digit.

The article's sequence labelling: Input(28, 28) → LSTM → softmax at every step. The
first rows are often blank, so the mean accuracy over steps stays well below that of
the last step.
"""

import jax
import jax.numpy as jnp


def encode(
    batch: dict[str, jax.Array], keys: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Inputs [batch, 28 rows, 28 columns · channels] in [0, 1], targets [batch, 28]."""
    del keys
    images = batch["image"]
    inputs = images.reshape(*images.shape[:2], -1).astype(jnp.float32) / 255
    targets = jnp.broadcast_to(batch["label"][:, None], inputs.shape[:2])
    return inputs, targets
