"""The score of a generator of points that should be a mixture of round Gaussians.

The protocol of VEEGAN (Srivastava 2017) and PacGAN (Lin 2018): a point within 3 σ of
its nearest mode is of high quality; a mode with at least one such point is captured;
the histogram of the high-quality points over the modes is compared with the uniform one
by the reverse KL, KL(histogram ‖ uniform), in nats. They evaluate 2,500 points.

Real points score less than 1 themselves: 1 − exp(−9/2) = 98.9 % of a Gaussian in the
plane lies within 3 σ.
"""

import math

import numpy as np

from research.metrics import modes
from research.metrics.measured import Measured, interval, mean_beside
from research.metrics.pairs import random_pairs

REACH = 3.0  # standard deviations, of a high-quality point


def score(
    generated: np.ndarray,
    again: np.ndarray,
    centres: np.ndarray,
    sigma: float,
    seed: int = 0,
) -> dict[str, Measured]:
    """How generated points compare with a mixture whose modes are known.

    Args:
      generated: float [points, 2], the model's.
      again: float [points, 2], real ones, as many as were generated: every floor.
      centres: [modes, 2].
      sigma: standard deviation of each mode, along each axis.
      seed: of the bootstrap and of the pairs.

    Returns:
      modes_captured: modes with at least one high-quality point.
      high_quality: share of the points within 3 σ of their nearest mode.
      kl_to_uniform: KL(modes of the high-quality points ‖ uniform), nats; NaN where
        there is none.
      pair_distance: mean distance of two points; near 0 there is one point only.

    Raises:
      ValueError: unequal numbers, other shapes, or a coordinate that is not finite.
    """
    if len(generated) != len(again):
        raise ValueError(
            f"floors need as many real points as generated ones: {len(again)} "
            f"against {len(generated)}"
        )
    counts = histogram(generated, centres, sigma)
    value = numbers(counts)
    floor = numbers(histogram(again, centres, sigma))
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(generated), counts / counts.sum(), modes.REPLICATES)
    spread = numbers(draws)
    number = len(centres)
    units = {
        "modes_captured": (f"of {number}", 0, number),
        "high_quality": ("share", 0, 1),
        "kl_to_uniform": ("nats", 0, math.inf),
    }
    found = {}
    for name, (unit, least, most) in units.items():
        one, low, high = float(value[name]), None, None
        if math.isfinite(one):
            known = spread[name][np.isfinite(spread[name])]
            low, high = interval(one, known, least, most)
        found[name] = Measured(one, float(floor[name]), low, high, len(generated), unit)
    apart, real = (pair_distances(points, seed) for points in (generated, again))
    return found | {"pair_distance": mean_beside(apart, real, "in the plane")}


def histogram(points: np.ndarray, centres: np.ndarray, sigma: float) -> np.ndarray:
    """High-quality points of each mode, then all others: int [modes + 1].

    Raises:
      ValueError: no points [points, 2], or one that is not finite.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != centres.shape[1] or not len(points):
        raise ValueError(f"points are [points, {centres.shape[1]}], got {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("a point is not finite: no modes can be counted")
    squares = ((points[:, None] - centres.astype(np.float64)) ** 2).sum(axis=-1)
    nearest = squares.argmin(axis=1)
    near = squares.min(axis=1) <= (REACH * sigma) ** 2
    return np.bincount(
        np.where(near, nearest, len(centres)), minlength=len(centres) + 1
    )


def pair_distances(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """Distances of disjoint random pairs, [points // 2]."""
    first, second = random_pairs(points, seed)
    return np.linalg.norm(first.astype(np.float64) - second, axis=1)


def numbers(counts: np.ndarray) -> dict[str, np.ndarray]:
    """The three numbers of histograms [..., modes + 1]."""
    counts = np.asarray(counts)
    good = counts[..., :-1].sum(axis=-1)
    # A histogram without a point has no KL: 1 stands in, and NaN replaces the result.
    filled = np.where(good[..., None] > 0, counts[..., :-1], 1)
    found = modes.coverage(filled)
    return {
        "modes_captured": (counts[..., :-1] > 0).sum(axis=-1),
        "high_quality": good / counts.sum(axis=-1),
        "kl_to_uniform": np.where(good > 0, found.kl, math.nan),
    }
