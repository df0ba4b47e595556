"""What generated samples are compared with: real ones, each once."""

import dataclasses
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from research import data
from research.data import digits_8, stacked_digits_8, temperatures
from research.errors import UserError
from research.evaluation import HELD_OUT_SEED, Evaluator, held_out_measures
from research.experiment import Data, Experiment
from research.media import pictures, points
from research.media import series as media_series
from research.metrics import kernel_distance, series
from research.metrics.measured import mean
from research.models import mlp, recurrent_pair
from research.optimizers import Optimizer
from research.sources.order import batch, shuffled
from research.sources.split import Split
from research.task import Task
from research.tasks.gan import Gan
from research.training.job import Job, refuse_score
from research.training.summary import measure

HALF, DRAWN = 250, 1_250  # 250: one shape to compile
DAYS = 250
POINTS = SimpleNamespace(MEDIUM="points", batch=batch)  # a data set of a fork
GAME = Gan().build(mlp.Model((2,)), Optimizer(), 10, points)
EXPERIMENT = Experiment(1, 1, Data("a_fork"), None, None, Optimizer())


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


def test_the_held_out_losses_of_days_that_overlap_are_so_too():
    """The weeks reach the interval that a summary tells."""
    test = temperatures.load("test")

    def evaluate(state, batch):
        del state
        return {"squared_error": (batch["frames"] ** 2).mean((1, 2))}

    task = Task(None, None, evaluate, None, None, None)
    evaluator = Evaluator(task, temperatures, test, test, DAYS)
    job = Job("days", EXPERIMENT, task, temperatures, test, test)
    found = measure(job, None, evaluator)["metrics"]["squared_error"]
    rows = np.asarray(shuffled(HELD_OUT_SEED, jnp.arange(DAYS), test.examples))
    squares = (test.arrays["frames"][rows] ** 2).mean((1, 2))
    together, alone = (mean(squares, "squared", b) for b in (rows // 145, None))
    assert found["high"] == pytest.approx(together.high, rel=1e-4)
    assert found["high"] != pytest.approx(alone.high, rel=0.01)
    losses = {"loss": squares, "targets": np.full(DAYS, 24)}
    nats = held_out_measures(losses, media_series, rows // 145)["step_nats"]
    assert (nats.value, nats.high) == pytest.approx((together.value, together.high))


def watched(real, drawn):
    split = Split({"point": np.float32(real)}, len(real), "")
    return Evaluator(GAME, POINTS, split, split, 10).watched(drawn)


def test_a_checkpoint_s_samples_are_watched_beside_as_many_real_ones():
    real, drawn = np.random.default_rng(0).normal(size=(2, 250, 2))
    few = watched(real[:5], drawn)
    assert few["sample_diversity"] > 0
    assert few == watched(real[:5], drawn[:5])


@pytest.mark.parametrize("real", [np.zeros((1, 2)), np.full((9, 2), np.nan)], ids=str)
def test_what_real_samples_have_no_number_of_is_not_watched(real):
    """A share of NaN would be a NaN in the record: "diverged"."""
    assert watched(real, np.ones((250, 2))) == {}


def test_blocks_that_a_score_does_not_take_are_refused_before_the_training():
    numbers = np.arange(9, dtype=np.int32)
    arrays = {"point": np.zeros((9, 2), np.float32), "block": numbers}
    with pytest.raises(UserError, match=r"a_fork has 'block' .* score of points") as no:
        refuse_score(EXPERIMENT, GAME, POINTS, Split(arrays, 9, ""))
    assert "\n" not in str(no.value)
    unscored = dataclasses.replace(EXPERIMENT, score_pictures=0)
    refuse_score(unscored, GAME, POINTS, Split(arrays, 9, ""))
    texts = SimpleNamespace(MEDIUM="text", batch=batch)
    scored = GAME._replace(evaluate=lambda state, batch: {})
    with pytest.raises(UserError, match=r"which the likelihood of text does not take"):
        refuse_score(unscored, scored, texts, Split(arrays, 9, ""))
    arrays.pop("block")
    refuse_score(EXPERIMENT, GAME, POINTS, Split(arrays, 9, ""))
