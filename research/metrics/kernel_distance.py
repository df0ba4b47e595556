"""The kernel distance between two sets of feature vectors: KID's estimator.

The squared maximum mean discrepancy (Gretton 2012) under the cubic kernel

    k(x, y) = (x · y / features + 1)³

as Bińkowski 2018 took it for Inception's features. The estimate is unbiased: two
samples of one distribution score 0 on average, and half of such pairs score less.
So it is never clipped at 0, and unlike the Fréchet distance it means the same at
every sample size.

The protocol is Bińkowski's too: the mean over subsets of 1,000 of each set, drawn
without replacement; all of them where there are fewer. It is float64 throughout.
"""

import numpy as np

from research.metrics.measured import Measured, StandardError, reach

SUBSET = 1_000
SUBSETS = 10  # the paper has 100; the interval below tells what that is worth


def squared(left: np.ndarray, right: np.ndarray) -> float:
    """The unbiased squared distance of two samples [samples, features], any sizes."""
    left, right = (np.asarray(one, np.float64) for one in (left, right))
    features = left.shape[1]

    def kernel(a, b):
        base = a @ b.T / features + 1
        return base * base * base  # `** 3` takes some ten times as long

    def within(one):
        products = kernel(one, one)
        pairs = len(one) * (len(one) - 1)
        return (products.sum() - np.trace(products)) / pairs

    return float(within(left) + within(right) - 2 * kernel(left, right).mean())


def measure(
    generated: np.ndarray,
    reference: np.ndarray,
    again: np.ndarray,
    seed: int = 0,
    subsets: int = SUBSETS,
) -> Measured:
    """The kernel distance of generated from real features, with floor and interval.

    A permutation of either set is cut into subsets, and another follows when it is used
    up. The standard error of n samples is the standard deviation over subsets of s
    times √(s / (n − s)): s / n for the larger sample, and 1 − s / n because subsets of
    one sample are more alike than subsets of fresh ones. Student's t of so few takes
    the place of 1.96. (The spread over subsets that is often printed as ± does not
    shrink with the sample, and is no interval.)

    Args:
      generated: [samples, features] of the model's draws.
      reference: [reference samples, features] of real data.
      again: [samples, features], real data once more: its distance is the floor.
        In no set may a sample come twice because there were too few: k(x, x) is the
        largest of all, and the estimate no longer unbiased.
      seed: of the subsets.
      subsets: how many.

    Raises:
      ValueError: no axes [samples, features], features of different extractors, a value
        that is not finite, or fewer than two subsets' worth of samples.
    """
    _check(generated, reference, again)
    size = min(SUBSET, len(generated) // 2, len(reference) // 2, len(again))
    values = _values(generated, reference, size, subsets, seed)
    others = min(len(generated), len(reference)) - size
    error = float(values.std(ddof=1) * (size / others) ** 0.5)
    half = reach(StandardError(error, subsets - 1))
    value = float(values.mean())
    floor = float(_values(again, reference, size, subsets, seed).mean())
    unit, counts = "squared kernel units", (len(generated), len(reference))
    return Measured(
        value, floor, value - half, value + half, counts[0], unit, counts[1]
    )


def _values(
    left: np.ndarray, right: np.ndarray, size: int, subsets: int, seed: int
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pairs = zip(_rows(rng, left, size), _rows(rng, right, size), strict=False)
    return np.array(
        [squared(*next(pairs)) for _ in range(subsets)],
    )


def _rows(rng: np.random.Generator, features: np.ndarray, size: int):
    """Subset after subset: a fresh permutation whenever the last is used up."""
    while True:
        order = rng.permutation(len(features))
        for start in range(0, len(order) - size + 1, size):
            yield features[order[start : start + size]]


def _check(*sets: np.ndarray) -> None:
    if any(one.ndim != 2 for one in sets):
        shapes = ", ".join(str(one.shape) for one in sets)
        raise ValueError(f"features are [samples, features], got {shapes}")
    if len({one.shape[1] for one in sets}) > 1:
        raise ValueError(
            "features of different dimensions have no distance: use one feature "
            "extractor for all"
        )
    if min(map(len, sets)) < 4:
        raise ValueError("a kernel distance needs 4 samples or more: draw more")
    if not all(np.isfinite(one).all() for one in sets):
        raise ValueError("features hold a NaN or an infinity: no kernel distance")
