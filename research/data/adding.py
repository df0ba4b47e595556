"""Adding: two marked numbers among many, whose sum is asked for at the end.

Hochreiter and Schmidhuber 1997 in the form of Le 2015: at each of T steps a number,
evenly from [0, 1), and a mark that is 1 once in the first half and once in the second.
A predictor that remembers nothing says 1, a squared error of 1/6.
"""

import jax
import jax.numpy as jnp

from research.experiment import Data
from research.metrics.measured import Measured
from research.sources.made import Problem, refuse_length

TAKES = ("length",)


def configured(data: Data, batch_size: int) -> Problem:
    """Sequences of `data.length` steps, 200 unless said.

    Raises:
      UserError: fewer than 2 steps, or more than 100,000.
    """
    del batch_size
    length = data.length_or(200)
    refuse_length("adding", length, 2, 100_000)
    return Problem("adding", length, make, memoryless, __doc__ or "", "series")


def make(key: jax.Array, length: int) -> dict[str, jax.Array]:
    """One example: frames float32 [length, 2], numbers and marks."""
    values, first, second = jax.random.split(key, 3)
    half = length // 2
    marked = jnp.stack(
        [
            jax.random.randint(first, (), 0, half),
            jax.random.randint(second, (), half, length),
        ]
    )
    marks = jnp.zeros(length).at[marked].set(1)
    return {"frames": jnp.stack([jax.random.uniform(values, (length,)), marks], -1)}


def memoryless(length: int) -> dict[str, Measured]:
    """The variance of a sum of two numbers of [0, 1), at any length."""
    del length
    return {"memoryless_squared_error": Measured(1 / 6, unit="squared")}
