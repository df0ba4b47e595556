"""The sum of the marked numbers, asked for after the last step."""

import jax

DATA = "adding"
OUTCOME = "numbers"


def encode(
    batch: dict[str, jax.Array], keys: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Inputs [batch, time, 2], numbers and marks; targets float32 [batch, 1]."""
    del keys
    frames = batch["frames"]
    return frames, (frames[..., 0] * frames[..., 1]).sum(1, keepdims=True)
