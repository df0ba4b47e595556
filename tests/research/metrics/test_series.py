"""The numbers of series against closed forms, and against what they should tell."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from research.metrics import series

RNG = np.random.default_rng(0)


def walks(count, start=0.0, step=1.0, seed=0):
    """Random walks [count, 6, 2], whose best forecast is the last value."""
    rng = np.random.default_rng(seed)
    steps = step * rng.normal(size=(count, 6, 2))
    return start + np.cumsum(steps, axis=1)


def test_a_shift_is_told_by_the_values_and_by_frechet_alone():
    """Shifted by 2 in 12 dimensions: W₁ is 2, the Fréchet distance 12 · 2²."""
    real = walks(4_000)
    found = series.score(real + 2, real, walks(4_000, seed=1))
    np.testing.assert_allclose(found["value_distance"].value, 2, rtol=1e-6)
    np.testing.assert_allclose(found["series_frechet"].value, 48, rtol=1e-6)
    np.testing.assert_allclose(found["change_distance"].value, 0, atol=1e-9)
    low, high = found["value_distance"].low, found["value_distance"].high
    assert low < 2 < high


def test_the_forecast_of_walks_is_the_last_value(monkeypatch):
    """E|N(0, 1)| = √(2/π), whoever it was learnt from; of noise it is worse."""
    monkeypatch.setattr(series, "REPLICATES", 2)  # of the distances' intervals
    real, again = walks(4_000), walks(4_000, seed=1)
    found = series.score(again, real, again)["forecast_error"]
    np.testing.assert_allclose(found.value, np.sqrt(2 / np.pi), rtol=0.03)
    assert found.value == found.floor
    weights = series.forecast(real)
    want = np.zeros((11, 2))
    want[8:10] = np.eye(2)
    np.testing.assert_allclose(weights, want, atol=0.1)  # 4,000 walks
    noise = RNG.normal(size=real.shape)
    assert series.score(noise, real, again)["forecast_error"].value > 1.5 * found.value


def test_baselines_are_gaussians_of_the_steps_and_of_their_changes():
    train, held_out = walks(50), walks(20, start=1, seed=1)

    def nats(train, held_out):
        steps = train.reshape(-1, 2)
        found = multivariate_normal(steps.mean(0), np.cov(steps.T))
        return -found.logpdf(held_out.reshape(-1, 2)).reshape(held_out.shape[:2])

    alone = nats(train, held_out)
    moved = nats(np.diff(train, axis=1), np.diff(held_out, axis=1))
    found = series.baselines(train, held_out, np.arange(20) // 4)
    assert found["gaussian_nats"].value == pytest.approx(alone.mean())
    want = (alone[:, 0] + moved.sum(1)).mean() / 6
    assert found["persistence_nats"].value == pytest.approx(want)
    single = series.baselines(train, held_out)["persistence_nats"]
    assert single.high != found["persistence_nats"].high  # the blocks'
    one = series.baselines(train[..., :1], held_out[..., :1])  # a single channel
    assert np.isfinite(one["gaussian_nats"].value)


def test_a_collapsed_model_has_no_pairs_that_differ():
    real = walks(400)
    one = np.repeat(real[:1], 400, axis=0)
    found = series.score(one, real, walks(400, seed=1))["pair_distance"]
    assert found.value == 0
    # Two walks differ by a walk of twice the variance: mean square 2 · (1 + … + 6) / 6.
    mean_square = np.mean(series.pair_distances(walks(4_000)) ** 2)
    np.testing.assert_allclose(mean_square, 7, rtol=0.05)
