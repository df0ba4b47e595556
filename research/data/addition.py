"""Addition: two numbers as digits, whose sum is to be written as digits.

Sutskever 2014's encoder and decoder learn it from examples such as 123+045=0168; of
Zaremba and Sutskever 2014, "Learning to execute". No sum of the training is kept from
the test: with three digits there are a million.
"""

import math

import jax
import jax.numpy as jnp

from research.experiment import Data
from research.metrics.measured import Measured
from research.sources.made import Problem, refuse_length

TAKES = ("length",)


def configured(data: Data, batch_size: int) -> Problem:
    """Numbers of `data.length` digits, 3 unless said.

    Raises:
      UserError: no digit, or more than 9, beyond which a sum is no int32.
    """
    del batch_size
    length = data.length_or(3)
    refuse_length("addition", length, 1, 9)
    return Problem("addition", length, make, memoryless, __doc__ or "", "text")


def make(key: jax.Array, length: int) -> dict[str, jax.Array]:
    """One example: tokens int32 [3 · length + 3], characters."""
    numbers = jax.random.randint(key, (2,), 0, 10**length)
    left, right = (digits(number, length) for number in numbers)
    total = digits(numbers.sum(), length + 1)
    plus, equals = (jnp.array([ord(sign)]) for sign in "+=")
    parts = [left, plus, right, equals, total]
    return {"tokens": jnp.concatenate(parts).astype(jnp.int32)}


def digits(number: jax.Array, count: int) -> jax.Array:
    """The last `count` decimal digits as characters, the highest first."""
    return ord("0") + number // 10 ** jnp.arange(count)[::-1] % 10


def memoryless(length: int) -> dict[str, Measured]:
    """Each digit of the sum as often as it occurs: all but the first nearly evenly."""
    # P(carry out) of two even numbers below 10ⁿ is (1 − 10⁻ⁿ) / 2.
    one = (1 - 10.0**-length) / 2
    first = -one * math.log(one) - (1 - one) * math.log(1 - one)
    nats = (first + length * math.log(10)) / (length + 1)
    return {"memoryless_nats": Measured(nats, unit="nats a digit")}
