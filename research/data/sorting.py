"""Sorting: numbers of [0, 1) in any order, whose places in rising order are asked for.

Vinyals 2015, "Order matters", section 4.
"""

import math

import jax

from research.experiment import Data
from research.metrics.measured import Measured
from research.sources.made import Problem, refuse_length

TAKES = ("length",)


def configured(data: Data, batch_size: int) -> Problem:
    """Sets of `data.length` numbers, 10 unless said.

    Raises:
      UserError: fewer than 2 numbers, or more than 1,000.
    """
    del batch_size
    length = data.length_or(10)
    refuse_length("sorting", length, 2, 1_000)
    return Problem("sorting", length, make, memoryless, __doc__ or "", "series")


def make(key: jax.Array, length: int) -> dict[str, jax.Array]:
    """One example: frames float32 [length, 1]."""
    return {"frames": jax.random.uniform(key, (length, 1))}


def memoryless(length: int) -> dict[str, Measured]:
    """A guess among the places that are left."""
    nats = math.lgamma(length + 1) / length
    return {"memoryless_nats": Measured(nats, unit="nats a place")}
