"""Bits a target from a model's negative log likelihoods."""

import math

import numpy as np

from research.metrics.measured import Measured, mean


def measure(nats: np.ndarray, targets: int, unit: str = "bits a target") -> Measured:
    """The mean cost of a target in bits, with a 95 % interval over examples.

    The examples are independent and the targets of one example are not, so the
    interval comes from the spread of whole examples: see `measured.mean`. A
    floor would be the data's entropy, which nobody knows, so there is none.

    Args:
      nats: [examples], −log p of each example, summed over its targets.
      targets: targets in each example (784 pixels, for one).
      unit: what a target is.

    Raises:
      ValueError: fewer than two examples, or no targets.
    """
    nats = np.asarray(nats, np.float64)
    if nats.ndim != 1 or len(nats) < 2 or targets < 1:
        raise ValueError(
            f"bits need the cost of two or more examples and of one or more targets "
            f"each, got shape {nats.shape} and {targets} targets"
        )
    return mean(nats / (targets * math.log(2)), unit)
