"""The Fréchet distance between two sets of feature vectors, taken as Gaussians.

    d² = |m₁ − m₂|² + tr(C₁ + C₂ − 2 (C₂^½ C₁ C₂^½)^½)

(Dowson and Landau 1982; used on classifier features by Heusel 2017.) The symmetric
form needs eigenvalues of symmetric matrices only, so no complex parts have to be
dropped; everything is float64, because in float32 small distances are off by 0.2 %.

The plug-in distance is biased upwards, by about 1/n: two samples of one distribution
in 64 dimensions are 0.21 apart at 10,000 draws and 2.2 at 1,000. So a distance goes
with its floor, the distance of real data from real data at the same sample sizes.

Axes: samples, features.
"""

from typing import NamedTuple

import numpy as np

from research.metrics.measured import Measured, error_of_mean, reach


class Gaussian(NamedTuple):
    """The normal distribution that stands for a set of features."""

    mean: np.ndarray  # [features] float64
    covariance: np.ndarray  # [features, features] float64, divisor samples − 1
    samples: int


def gaussian(features: np.ndarray) -> Gaussian:
    """Mean and covariance of features [samples, features].

    Raises:
      ValueError: not two axes, a value that is not finite, or not more samples than
        features (the covariance would be singular whatever the data).
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2:
        raise ValueError(f"features are [samples, features], got {features.shape}")
    samples, dimensions = features.shape
    if samples <= dimensions:
        raise ValueError(
            f"a Fréchet distance in {dimensions} dimensions needs more than "
            f"{dimensions} samples, got {samples}: draw more"
        )
    if not np.isfinite(features).all():
        raise ValueError("features hold a NaN or an infinity: no Fréchet distance")
    mean = features.mean(axis=0)
    centred = features - mean
    return Gaussian(mean, centred.T @ centred / (samples - 1), samples)


def distance(left: Gaussian, right: Gaussian) -> float:
    """The squared Fréchet distance of two Gaussians, in squared feature units."""
    return _distance(left, right, _root(right.covariance))


def measure(
    generated: np.ndarray,
    reference: np.ndarray,
    again: np.ndarray,
    blocks: np.ndarray | None = None,
) -> Measured:
    """The distance of generated from real features, with floor and interval.

    The interval is the bootstrap's limit for the linearised distance (the infinitesimal
    jackknife, Efron 1982): each sample's influence on the distance is known in closed
    form, and the influences' variance gives the standard error. That costs two more
    eigenvalue problems instead of hundreds: 0.3 s at 5,000 samples and 384 features.

    Args:
      generated: [samples, features] of the model's draws.
      reference: [reference samples, features] of real data.
      again: [samples, features] of real data once more, drawn independently and as
        many as were generated; its distance from `reference` is the floor.
      blocks: of the reference, where its samples are not independent; see
        `measured.error_of_mean`.

    Raises:
      ValueError: sizes that differ, or what `gaussian` refuses.
    """
    if generated.shape != again.shape:
        raise ValueError(
            f"the floor needs as many real draws as generated ones: {again.shape} "
            f"against {generated.shape}"
        )
    model, real = gaussian(generated), gaussian(reference)
    root = _root(real.covariance)
    value = _distance(model, real, root)
    errors = (
        error_of_mean(_influence(generated, model, real, root)),
        error_of_mean(
            _influence(reference, real, model, _root(model.covariance)), blocks
        ),
    )
    half = reach(*errors)
    floor = _distance(gaussian(again), real, root)
    low, high = max(value - half, 0.0), value + half
    unit, counts = "squared feature units", (len(generated), len(reference))
    return Measured(value, floor, low, high, counts[0], unit, counts[1])


def _distance(left: Gaussian, right: Gaussian, root: np.ndarray) -> float:
    """As `distance`, given the square root of `right`'s covariance."""
    if left.mean.shape != right.mean.shape:
        raise ValueError(
            f"features of {left.mean.size} and of {right.mean.size} dimensions "
            "have no distance: use one feature extractor for both"
        )
    shift = left.mean - right.mean
    product = root @ left.covariance @ root
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(product), 0, None)).sum()
    traces = np.trace(left.covariance) + np.trace(right.covariance)
    # Rounding can leave −1e-13 where the two are equal.
    return max(float(shift @ shift + traces - 2 * cross), 0.0)


def _influence(
    features: np.ndarray, moving: Gaussian, fixed: Gaussian, root: np.ndarray
) -> np.ndarray:
    """The influence [samples] of each of `moving`'s samples on the distance.

    With R² the covariance of `fixed`, the distance's derivative by the mean is
    2 (m − m_fixed) and by the covariance I − R (R C R)^−½ R, one less the map that
    carries the one Gaussian onto the other. Directions in which the samples do not
    vary (a collapsed generator) stay so in every resample: the inverse leaves them out.

    Args:
      features: [samples, features] that `moving` was made from.
      root: R, [features, features].
    """
    values, vectors = np.linalg.eigh(root @ moving.covariance @ root)
    kept = values > 1e-12 * max(values[-1], 1e-300)
    carried = root @ vectors[:, kept]
    slope = np.eye(len(root)) - (carried / np.sqrt(values[kept])) @ carried.T
    centred = np.asarray(features, np.float64) - moving.mean
    linear = 2 * centred @ (moving.mean - fixed.mean)
    return linear + np.sum((centred @ slope) * centred, axis=1)


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
