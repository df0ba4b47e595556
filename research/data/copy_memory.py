"""Copy memory: ten symbols to be said again after T blanks.

Hochreiter and Schmidhuber 1997 in the form of Arjovsky 2016: ten of eight symbols, T
blanks, the last of which gives way to a sign, and ten steps for the answer. Everything
before the answer is to be answered by a blank. A predictor that remembers nothing loses
10 ln 8 / (T + 20) nats a step. Symbols are characters: 0 the blank, 9 the sign.
"""

import math

import jax
import jax.numpy as jnp

from research.experiment import Data
from research.metrics.measured import Measured
from research.sources.made import Problem, refuse_length

TAKES = ("length",)

RECALLED = 10  # symbols to be remembered
SYMBOLS = 8
BLANK, SIGN = ord("0"), ord("9")


def configured(data: Data, batch_size: int) -> Problem:
    """Sequences with `data.length` blanks, 50 unless said.

    Raises:
      UserError: no blank, or more than 100,000.
    """
    del batch_size
    length = data.length_or(50)
    refuse_length("copy_memory", length, 1, 100_000)
    return Problem("copy_memory", length, make, memoryless, __doc__ or "", "text")


def make(key: jax.Array, length: int) -> dict[str, jax.Array]:
    """One example: tokens int32 [length + 20]."""
    symbols = jax.random.randint(key, (RECALLED,), BLANK + 1, BLANK + 1 + SYMBOLS)
    blanks = jnp.full(length - 1, BLANK)
    signs = jnp.full(RECALLED + 1, SIGN)
    return {"tokens": jnp.concatenate([symbols, blanks, signs]).astype(jnp.int32)}


def memoryless(length: int) -> dict[str, Measured]:
    """Blanks said surely, and the ten symbols at a guess."""
    nats = RECALLED * math.log(SYMBOLS) / (length + 2 * RECALLED)
    return {"memoryless_nats": Measured(nats, unit="nats a step")}
