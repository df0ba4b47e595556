"""Dropout's masks, and the rule that a rate is a share below 1."""

from typing import Any

import flax.linen as nn
import jax

from research.errors import UserError


def mask(key: jax.Array, rate: float, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """0 with probability `rate`, otherwise 1/(1 − rate): its mean is 1."""
    kept = jax.random.bernoulli(key, 1 - rate, shape)
    return kept.astype(dtype) / (1 - rate)


class Dropout(nn.Module):
    """Dropout of [batch, time, features], with linen's keys of the name `dropout`."""

    rate: float
    variational: bool = False
    """one mask for all steps of a row (Gal & Ghahramani 2016), not one a step"""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if not train or not self.rate:
            return x
        shape = (len(x), 1, x.shape[2]) if self.variational else x.shape
        return x * mask(self.make_rng("dropout"), self.rate, shape, x.dtype)


def check_rates(**rates: float) -> None:
    """Raises UserError for a share outside [0, 1); the names are a model's fields."""
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            option = name.replace("_", "-")
            raise UserError(f"--model.{option} is {rate}: a share lies in [0, 1)")
