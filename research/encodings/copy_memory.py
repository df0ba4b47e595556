"""Symbols that are said again after blanks; before that, blanks."""

import jax
import jax.numpy as jnp

from research.data.copy_memory import BLANK, RECALLED
from research.outcomes import correct

DATA = "copy_memory"
SYMBOLS = 10  # the characters 0 to 9


def encode(
    batch: dict[str, jax.Array], keys: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Inputs one-hot float32 [batch, time, 10], targets int32 [batch, time]."""
    del keys
    symbols = batch["tokens"] - BLANK
    recalled = symbols[:, :RECALLED]
    before = jnp.zeros_like(symbols[:, RECALLED:])
    targets = jnp.concatenate([before, recalled], axis=1)
    return jax.nn.one_hot(symbols, SYMBOLS), targets


def measure(logits: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
    """`recalled` [batch]: share of the ten symbols that are said rightly."""
    right = correct(logits[:, -RECALLED:], targets[:, -RECALLED:])
    return {"recalled": right.mean(1)}
