"""What generated samples are compared with: real ones, each once."""

import jax.numpy as jnp
import numpy as np
import pytest

from research import data
from research.data import digits_8, stacked_digits_8, temperatures
from research.evaluation import HELD_OUT_SEED, Evaluator
from research.experiment import Data
from research.media import pictures
from research.media import series as media_series
from research.metrics import kernel_distance, series
from research.models import mlp, recurrent_pair
from research.optimizers import Optimizer
from research.sources.order import shuffled
from research.sources.split import Split
from research.tasks.gan import Gan

HALF, DRAWN = 250, 1_250  # 250: one shape to compile
DAYS = 250


@pytest.fixture(scope="module")
def evaluators():
    """`of(dataset)`: halves of the same real digits as training and held-out data."""
    rows = np.random.default_rng(0).permutation(1_440)[: 2 * HALF]
    whole = digits_8.load("train").arrays
    halves = [
        Split({name: array[half] for name, array in whole.items()}, HALF, "")
        for half in np.split(rows, 2)
    ]
    task = Gan().build(mlp.Model((8, 8, 1)), Optimizer(), 10, pictures)
    return lambda dataset: Evaluator(task, dataset, *halves, 10)


def test_the_kernel_floor_is_the_unbiased_distance_of_the_real_halves(evaluators):
    """Each digit five times over would add 0.002: k(x, x) is the largest of all.

    Over 20 other halves that distance is 0 on average.
    """
    judged = data.find(Data("digits_8", features="pixels"))
    found = evaluators(judged).scored(np.zeros((DRAWN, 8, 8, 1), np.uint8))
    kernel, frechet = found["pixel_kernel"], found["pixel_frechet"]
    pixels = digits_8.load("train").arrays["image"].reshape(1_440, -1) / 255
    orders = [np.random.default_rng(seed).permutation(1_440) for seed in range(21)]
    distances = [
        kernel_distance.squared(*(pixels[half] for half in np.split(o[: 2 * HALF], 2)))
        for o in orders
    ]
    assert abs(kernel.floor - distances[0]) < 3e-4
    assert abs(np.mean(distances[1:])) < 5e-4 < kernel.value
    assert kernel[4:] == (DRAWN, "squared kernel units", HALF)
    assert frechet.against == HALF


def test_samples_that_are_put_together_anew_are_not_few(evaluators):
    """Of 250 digits there are 250³ stacks, and none comes again after an epoch."""
    assert evaluators(stacked_digits_8)._once(DRAWN) == DRAWN
    assert evaluators(digits_8)._once(DRAWN) == HALF


def test_days_that_overlap_are_not_taken_for_independent_ones():
    """The weeks of the held-out ones reach the intervals."""
    train, test = (temperatures.load(split) for split in ("train", "test"))
    task = Gan().build(recurrent_pair.Model(), Optimizer(), 10, media_series)
    days = train.arrays["frames"][:: len(train.arrays["frames"]) // DAYS][:DAYS]
    found = Evaluator(task, temperatures, train, test, 10).scored(days)
    rows = shuffled(HELD_OUT_SEED, jnp.arange(DAYS), test.examples)
    real = test.arrays["frames"][np.asarray(rows)]
    week = np.asarray(rows) // 145
    alone, together = (series.score(days, real, days, blocks=b) for b in (None, week))
    for name in ("series_frechet", "forecast_error"):
        assert found[name][:4] == pytest.approx(
            together[name]._replace(floor=found[name].floor)[:4]
        )
        assert found[name].high != pytest.approx(alone[name].high)
