"""Does a generator repeat its training data? Nearest neighbours and a test.

Each generated sample's distance to its nearest training sample is set beside the same
distance of real samples that were never trained on. A generator that learnt the
distribution is as far from its training data as those are; one that copies is nearer.
The number is the probability that a generated sample is the nearer one of the two,

    P(d(generated) < d(held out)) + ½ P(equal),

the Mann–Whitney statistic that Meehan 2020 tests data copying with: ½ for honest
samples, 1 for copies, less than ½ for samples that lie off the data. So it is read
beside a distance of the whole, such as Fréchet's: noise is no copy.
"""

from typing import NamedTuple

import numpy as np

from research.metrics.measured import Measured, mean_beside
from research.metrics.neighbours import squares

CHUNK = 250  # samples at a time: 20 MB of distances to 10,000


class Nearest(NamedTuple):
    """The nearest training sample of each sample."""

    place: np.ndarray  # [samples] int, row of the training set
    distance: np.ndarray  # [samples], Euclidean


def nearest(samples: np.ndarray, training: np.ndarray) -> Nearest:
    """The nearest row of `training` [training samples, features] of each sample.

    Raises:
      ValueError: no training samples, or features of different extractors.
    """
    if not len(training) or samples.shape[1:] != training.shape[1:]:
        raise ValueError(
            f"samples {samples.shape} have no neighbours among {training.shape}"
        )
    training = np.asarray(training, np.float64)
    places, distances = [], []
    for start in range(0, len(samples), CHUNK):
        chunk = np.asarray(samples[start : start + CHUNK], np.float64)
        apart = squares(chunk, training)
        place = apart.argmin(axis=1)
        places.append(place)
        # Straight from the rows: an exact copy is at distance 0, not at rounding's.
        distances.append(np.linalg.norm(chunk - training[place], axis=1))
    return Nearest(np.concatenate(places), np.concatenate(distances))


def measure(
    generated: np.ndarray, held_out: np.ndarray, training: np.ndarray
) -> dict[str, Measured]:
    """The test and the mean distance, with floors and 95 % intervals.

    Args:
      generated: [samples, features].
      held_out: [held-out samples, features], real and independent of `training`.
      training: [training samples, features], what could have been copied.

    Returns:
      copying: the probability above. Its floor sets one half of the held-out samples
        against the other, and the interval is DeLong's (1988) over both sets.
      nearest_training: mean distance of a generated sample to its nearest training
        sample, in feature units; the floor is that of held-out samples.

    Raises:
      ValueError: fewer than 4 held-out or 2 generated samples; see `nearest`.
    """
    if len(held_out) < 4 or len(generated) < 2:
        raise ValueError(
            f"a copying test needs 4 held-out and 2 generated samples, got "
            f"{len(held_out)} and {len(generated)}"
        )
    model = nearest(generated, training).distance
    real = nearest(held_out, training).distance
    value, error = nearer(model, real)
    floor, _ = nearer(real[::2], real[1::2])
    low, high = max(value - 1.96 * error, 0.0), min(value + 1.96 * error, 1.0)
    return {
        "copying": Measured(value, floor, low, high, len(model), "probability"),
        "nearest_training": mean_beside(model, real, "feature units"),
    }


def nearer(left: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """P(left < right) + ½ P(equal) of two samples of numbers, and its standard error.

    The error is DeLong's: the variance of each number's own share of the statistic.
    """
    over, under = _share_below(left, right), _share_below(right, left)
    variance = over.var(ddof=1) / len(left) + under.var(ddof=1) / len(right)
    return float(under.mean()), float(variance**0.5)


def _share_below(numbers: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Share of `others` that lies below each number, equal ones counting half."""
    others = np.sort(others)
    below, not_above = (np.searchsorted(others, numbers, s) for s in ("left", "right"))
    return (below + not_above) / (2 * len(others))
