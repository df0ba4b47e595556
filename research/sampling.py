"""Drawing symbols one by one from a recurrent model of them.

Each symbol is drawn from softmax(logits / temperature) of the `top_k` likeliest, and of
those the fewest that hold `nucleus` of the probability (Holtzman 2020). One compiled
loop; a stream is drawn from its own key alone.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from research.errors import UserError

# Symbols int32 [streams, time] and a state → logits [streams, time, symbols], state.
Predict = Callable[[jax.Array, Any], tuple[jax.Array, Any]]

TEMPERATURES = 1e-6, 1e6  # beyond them logits are infinite, or all alike, in float32


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a symbol is chosen."""

    temperature: float = 1.0
    """divides the logits: below 1 the likely become likelier; 0 takes the likeliest"""
    top_k: int | None = None
    """only the k likeliest symbols; None: all"""
    nucleus: float = 1.0
    """only the likeliest symbols that together hold this share of the probability"""

    def refuse_wrong(self, prefix: str = "--") -> None:
        """Raises UserError for settings that choose nothing."""
        least, most = TEMPERATURES
        if self.temperature != 0 and not least <= self.temperature <= most:
            raise UserError(
                f"{prefix}temperature is {self.temperature}: give 0 (the likeliest), "
                f"or {least:g} to {most:g}"
            )
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"{prefix}top-k is {self.top_k}: give 1 or more")
        if not 0 < self.nucleus <= 1:
            raise UserError(
                f"{prefix}nucleus is {self.nucleus}: a share lies above 0, up to 1"
            )


def choose(keys: jax.Array, logits: jax.Array, how: Sampling) -> jax.Array:
    """A symbol int32 [streams] for each row of logits [streams, symbols]."""
    if how.temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    kept = keep(logits / how.temperature, how)
    return jax.vmap(jax.random.categorical)(keys, kept).astype(jnp.int32)


def keep(logits: jax.Array, how: Sampling) -> jax.Array:
    """The logits, −∞ where a symbol may not be chosen; the likeliest always may."""
    if how.top_k is not None and how.top_k < logits.shape[-1]:
        least = jax.lax.top_k(logits, how.top_k)[0][..., -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if how.nucleus < 1:
        ranked = -jnp.sort(-logits, axis=-1)
        shares = jax.nn.softmax(ranked, axis=-1)
        # Kept while those before it hold less than the share: so one is kept always.
        before = jnp.cumsum(shares, axis=-1) - shares
        least = jnp.min(
            jnp.where(before < how.nucleus, ranked, jnp.inf), axis=-1, keepdims=True
        )
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return logits


def continue_streams(
    predict: Predict,
    keys: jax.Array,
    last: jax.Array,
    state: Any,
    first: jax.Array | int,
    count: int,
    how: Sampling,
) -> tuple[jax.Array, Any]:
    """The next `count` symbols of some streams.

    Args:
      predict: the model.
      keys: [streams]; symbol n of a stream is drawn from fold_in(key, n).
      last: int32 [streams], the symbol before, not yet seen by the state.
      state: of the model.
      first: n of the first symbol to draw.
      count: static.
      how: to choose.

    Returns:
      symbols int32 [streams, count], and the state before the last of them.
    """

    def step(carry, number):
        last, state = carry
        logits, state = predict(last[:, None], state)
        here = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        chosen = choose(here, logits[:, -1], how)
        return (chosen, state), chosen

    (_, state), symbols = jax.lax.scan(step, (last, state), first + jnp.arange(count))
    return symbols.T, state
