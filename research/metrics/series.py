"""How alike two sets of real-valued series are.

A distance takes a series as one vector of all its values, which short series allow; the
marginals and a linear forecast tell what a Gaussian's mean and covariance do not. All
are read beside what real series score. There is nothing of nearest neighbours: real
series that are cut from one record overlap, and are neighbours for that alone.
"""

import numpy as np
from scipy.stats import wasserstein_distance

from research.metrics import frechet
from research.metrics.measured import Measured, interval, mean, mean_beside
from research.metrics.pairs import random_pairs

NATS = "nats a step, density in units of the data"
REPLICATES = 50  # bootstrap resamples for an interval
RIDGE = 1e-3  # of the forecast, against features that never vary


def score(
    generated: np.ndarray,
    reference: np.ndarray,
    again: np.ndarray,
    seed: int = 0,
    blocks: np.ndarray | None = None,
) -> dict[str, Measured]:
    """How generated series compare with real ones.

    Args:
      generated: float [series, time, channels], the model's.
      reference: float [reference series, time, channels], real and held out.
      again: float [series, time, channels], real training ones, for every floor.
      seed: of the bootstrap and the pairs.
      blocks: of the reference, whose series overlap within one; see
        `measured.error_of_mean`.

    Returns:
      series_frechet: Fréchet distance of whole series;
      value_distance, change_distance: Wasserstein-1 distance of all values, and of all
        differences from a step to the next, to those of the reference, mean over the
        channels; in units of the data;
      forecast_error: of a linear forecast that was fitted to the generated series and
        is tested on the reference (train on synthetic, test on real: Esteban 2017);
      pair_distance: root mean square difference of two series; 0 for a collapsed model.
    """
    made, real, training = (
        np.asarray(s, np.float64) for s in (generated, reference, again)
    )
    flat = (s.reshape(len(s), -1) for s in (made, real, training))
    changes = (np.diff(s, axis=1) for s in (made, real, training))
    return {
        "series_frechet": frechet.measure(*flat, blocks=blocks),
        "value_distance": _distance(made, real, training, seed),
        "change_distance": _distance(*changes, seed=seed),
        "forecast_error": _forecast(made, real, training, blocks),
        "pair_distance": mean_beside(
            pair_distances(generated, seed),
            pair_distances(again, seed),
            "units of the data",
        ),
    }


def baselines(
    train: np.ndarray, held_out: np.ndarray, blocks: np.ndarray | None = None
) -> dict[str, Measured]:
    """What predicts held-out series without a network, by Gaussians of the training's.

    Args:
      train, held_out: float [series, time, channels], 2 steps or more.
      blocks: of the held-out series, as `score` takes them of the reference.

    Returns:
      gaussian_nats: every step by one Gaussian of all steps, which knows no order;
      persistence_nats: the first by that, each other by a Gaussian of the changes about
        the step before.
    """
    alone = _gaussian_nats(train, held_out)
    changes = _gaussian_nats(np.diff(train, axis=1), np.diff(held_out, axis=1))
    from_before = np.concatenate([alone[:, :1], changes], axis=1)
    return {
        "gaussian_nats": mean(alone.mean(axis=1), NATS, blocks),
        "persistence_nats": mean(from_before.mean(axis=1), NATS, blocks),
    }


def pair_distances(series: np.ndarray, seed: int = 0) -> np.ndarray:
    """Root mean square differences of disjoint random pairs, [series // 2]."""
    first, second = random_pairs(series, seed)
    return np.sqrt(np.mean((first - second) ** 2, axis=(1, 2)))


def marginal_distance(series: np.ndarray, reference: np.ndarray) -> float:
    """Wasserstein-1 distance of the values of each channel, mean over the channels."""
    channels = zip(
        np.moveaxis(series, -1, 0), np.moveaxis(reference, -1, 0), strict=True
    )
    return float(
        np.mean([wasserstein_distance(a.ravel(), b.ravel()) for a, b in channels])
    )


def forecast(series: np.ndarray) -> np.ndarray:
    """Weights [time · channels … + 1, channels] of the last step by all before it."""
    past, last = _past_and_last(series)
    penalty = RIDGE * len(past) * np.eye(past.shape[1])
    return np.linalg.solve(past.T @ past + penalty, past.T @ last)


def _distance(generated, reference, again, seed: int) -> Measured:
    value = marginal_distance(generated, reference)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(generated), size=(REPLICATES, len(generated)))
    replicates = [marginal_distance(generated[d], reference) for d in drawn]
    low, high = interval(value, np.array(replicates), 0)
    floor = marginal_distance(again, reference)
    return Measured(value, floor, low, high, len(generated), "units of the data")


def _forecast(generated, reference, again, blocks) -> Measured:
    errors, floors = (
        np.abs(past @ forecast(fitted) - last).mean(axis=1)
        for fitted in (generated, again)
        for past, last in (_past_and_last(reference),)
    )
    return mean_beside(errors, floors, "units of the data", blocks)


def _gaussian_nats(train: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """−log density of steps [series, time] by one Gaussian of all training steps."""
    channels = train.shape[-1]
    steps = train.reshape(-1, channels).astype(np.float64)
    covariance = np.cov(steps.T).reshape(channels, channels)
    apart = held_out - steps.mean(0)
    squares = np.einsum("...j,jk,...k->...", apart, np.linalg.inv(covariance), apart)
    volume = np.linalg.slogdet(covariance)[1] + channels * np.log(2 * np.pi)
    return (squares + volume) / 2


def _past_and_last(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = series[:, :-1].reshape(len(series), -1)
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1), series[:, -1]
