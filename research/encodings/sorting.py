"""The places of numbers in rising order, for a pointer."""

import jax
import jax.numpy as jnp

from research.outcomes import correct

DATA = "sorting"


def encode(
    batch: dict[str, jax.Array], keys: jax.Array | None
) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    """Inputs: the numbers [batch, time, 1] and the place written before, int32 [batch,
    time], −1 at first. Targets int32 [batch, time]."""
    del keys
    numbers = batch["frames"]
    places = jnp.argsort(numbers[..., 0], axis=1).astype(jnp.int32)
    before = jnp.pad(places[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    return (numbers, before), places


def measure(logits: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
    """`exact` [batch], 1 where all is right.

    It is read off with the right places given, and yet it is what the model writes by
    itself: as long as each likeliest place is right, those are the places it goes on
    from.
    """
    return {"exact": correct(logits, targets).min(1)}
