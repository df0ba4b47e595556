"""Fidelity and variety apart, by balls around each sample up to its k-th neighbour.

Improved precision and recall (Kynkäänniemi 2019, k = 3): precision is the share of
generated samples inside some ball of a real one, recall the share of real samples
inside some ball of a generated one. Density and coverage (Naeem 2020, k = 5): density
counts the real balls that a generated sample lies in, over k; coverage is the share of
real balls with a generated sample inside. An outlier's large ball lifts precision and
recall, density and coverage less.

Where both sets are of one distribution, density is 1 on average and coverage is
1 − (N − 1) … (N − k) / ((2N − 1) … (2N − k)), 0.969 for large N (Naeem, lemma 2).

Distances are Euclidean, float64, within the features given.
"""

import numpy as np

from research.metrics.measured import Measured, StandardError, reach

BALL = {"precision": 3, "recall": 3, "density": 5, "coverage": 5}  # k
GROUPS = 20  # of the jackknife
# Nearest kept for each sample: enough to find the k-th when a group is left out.
KEPT = 24
SAMPLES = 2_500  # of either set at most: 5 matrices of that squared, a second or two


def measure(
    generated: np.ndarray, reference: np.ndarray, again: np.ndarray
) -> dict[str, Measured]:
    """Precision, recall, density and coverage, with floors and 95 % intervals.

    The interval is that of a jackknife over 20 groups of both sets at once (Miller
    1974), by Student's t: a bootstrap would draw samples twice, whose neighbour then is
    at distance 0. It errs on the wide side, by up to 2 times; one from the spread over
    samples alone, with the balls held fast, came out too narrow, by up to 2 times too.

    Args:
      generated: [samples, features] of the model's draws.
      reference: [samples, features] of real data. Of either set the first 2,500 count,
        as many of one as of the other.
      again: [samples, features], real data once more, for the floors.

    Raises:
      ValueError: fewer than 100 samples, or a value that is not finite.
    """
    count = min(len(generated), len(reference), len(again), SAMPLES)
    if count < 5 * GROUPS:
        raise ValueError(
            f"neighbours need {5 * GROUPS} samples or more of each set, got {count}"
        )
    sets = [np.asarray(s[:count], np.float64) for s in (generated, reference, again)]
    if not all(np.isfinite(one).all() for one in sets):
        raise ValueError("features hold a NaN or an infinity: no neighbours")
    real = _Balls(sets[1])
    values, replicates = _jackknifed(_Balls(sets[0]), real)
    floors = numbers(sets[2], sets[1])
    return {
        name: _measured(name, values[name], floors[name], replicates[name], count)
        for name in BALL
    }


def numbers(generated: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """The four numbers of two sets [samples, features]."""
    model, real = _Balls(generated), _Balls(reference)
    return _numbers(distances(generated, reference), model, real, None)


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Euclidean distances [left samples, right samples]."""
    apart = squares(left, right)
    return np.sqrt(apart, out=apart)


def squares(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances [left samples, right samples], by one product."""
    # About a common centre, where the cancellation of large squares is least.
    centre = right.mean(axis=0, dtype=np.float64)
    left, right = left - centre, right - centre
    apart = left @ right.T
    apart *= -2  # in place: the matrix is what takes memory
    apart += (left**2).sum(axis=1)[:, None]
    apart += (right**2).sum(axis=1)
    return np.maximum(apart, 0, out=apart)


class _Balls:
    """The nearest neighbours of each sample within its own set."""

    def __init__(self, samples: np.ndarray):
        self.samples = samples
        apart = squares(samples, samples)
        np.fill_diagonal(apart, np.inf)
        kept = min(KEPT, len(samples) - 1)
        nearest = np.argpartition(apart, kept - 1, axis=1)[:, :kept]
        found = np.take_along_axis(apart, nearest, axis=1)
        order = np.argsort(found, axis=1)
        self._nearest = np.take_along_axis(nearest, order, axis=1)
        self._squares = np.take_along_axis(found, order, axis=1)

    def radii(self, k: int, left_out: np.ndarray | None) -> np.ndarray:
        """Squared distance to the k-th neighbour that is not left out, [samples]."""
        if left_out is None:
            return self._squares[:, k - 1]
        there = ~left_out[self._nearest]
        place = (there.cumsum(axis=1) == k).argmax(axis=1)
        return self._squares[np.arange(len(place)), place]


def _jackknifed(
    model: _Balls, real: _Balls
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The numbers, and those with each group left out of both sets."""
    apart = distances(model.samples, real.samples)
    groups = np.arange(len(apart)) % GROUPS
    without = [_numbers(apart, model, real, groups == group) for group in range(GROUPS)]
    replicates = {name: np.array([one[name] for one in without]) for name in BALL}
    return _numbers(apart, model, real, None), replicates


def _numbers(
    apart: np.ndarray, model: _Balls, real: _Balls, left_out: np.ndarray | None
) -> dict[str, float]:
    """The four numbers from distances [generated, real], a group left out of both."""
    kept = slice(None) if left_out is None else ~left_out
    squared = apart[kept][:, kept] ** 2

    def inside_real(k):
        return squared <= real.radii(k, left_out)[kept]

    def inside_model(k):
        return squared <= model.radii(k, left_out)[kept][:, None]

    k = BALL["density"]
    dense = inside_real(k)
    return {
        "precision": float(inside_real(BALL["precision"]).any(axis=1).mean()),
        "recall": float(inside_model(BALL["recall"]).any(axis=0).mean()),
        "density": float(dense.sum() / (k * len(dense))),
        "coverage": float(dense.any(axis=0).mean()),
    }


def _measured(
    name: str, value: float, floor: float, replicates: np.ndarray, count: int
) -> Measured:
    spread = ((replicates - replicates.mean()) ** 2).sum() * (GROUPS - 1) / GROUPS
    half = reach(StandardError(float(spread**0.5), GROUPS - 1))
    most = float("inf") if name == "density" else 1.0
    unit = "real balls, over k" if name == "density" else "share"
    low, high = max(value - half, 0.0), min(value + half, most)
    return Measured(value, floor, low, high, count, unit)
