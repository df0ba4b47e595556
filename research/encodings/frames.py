"""Frames of music, each predicted from those before it, one Bernoulli a key.

The first is predicted from silence, so that the model can begin a piece, and the costs
of all frames are a piece's −log p. Chung 2014, Bai 2018.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from research.errors import UserError
from research.outcomes import frame_loss
from research.sources.piano_rolls import KEYS

OUTCOME = "frames"
DRAWN = 64  # frames of a drawn piece: 16 bars of four quarter notes

Predict = Callable[[jax.Array, Any], tuple[jax.Array, Any]]


def encode(
    batch: dict[str, jax.Array], keys: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Inputs [batch, time, keys] of 0 and 1, targets of the same shape, −1 for padding.

    Args:
      batch: frames [batch, time, keys], and lengths [batch] where rows are padded.
      keys: not used: nothing is augmented.
    """
    del keys
    frames = batch["frames"].astype(jnp.int32)
    inputs = jnp.pad(frames[:, :-1], ((0, 0), (1, 0), (0, 0))).astype(jnp.float32)
    if "lengths" not in batch:
        return inputs, frames
    return inputs, jnp.where(within(batch)[..., None], frames, -1)


def within(batch: dict[str, jax.Array]) -> jax.Array:
    """Which frames of a padded batch are its pieces' own: bool [batch, time]."""
    return jnp.arange(batch["frames"].shape[1]) < batch["lengths"][:, None]


def outputs_needed(dataset: Any) -> int:
    """One logit a key.

    Raises:
      UserError: series of other frames than a piano's.
    """
    *_, width = getattr(dataset, "SHAPE", (KEYS,))
    if width != KEYS:
        raise UserError(
            f"--task.encoding frames reads {KEYS} keys, the data has frames of {width}:"
            f" take --data.name chorales, or --task.encoding series"
        )
    return KEYS


def measure(logits: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
    """`first_frame_nats` [batch]: the cost of the first frame, after silence."""
    return {"first_frame_nats": frame_loss(logits[:, 0], targets[:, 0])}


def draw(predict: Predict, start: Any, keys: jax.Array) -> jax.Array:
    """Pieces drawn frame by frame, in one loop.

    Args:
      predict: frames float32 [pieces, 1, 88] and a state → logits of the next
        frames and the next state.
      start: the state before the first frame.
      keys: one a piece; a piece depends on its own key alone.

    Returns:
      bool [pieces, DRAWN, 88].
    """

    def frame(carry, step):
        before, state = carry
        logits, state = predict(before[:, None].astype(jnp.float32), state)
        here = jax.vmap(jax.random.fold_in, (0, None))(keys, step)
        shares = jax.nn.sigmoid(logits[:, 0])
        chosen = jax.vmap(jax.random.bernoulli)(here, shares)
        return (chosen, state), chosen

    silence = jnp.zeros((len(keys), KEYS), bool)
    _, chosen = jax.lax.scan(frame, (silence, start), jnp.arange(DRAWN))
    return jnp.swapaxes(chosen, 0, 1)
