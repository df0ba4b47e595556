"""What generated samples are compared with: real ones, each once."""

import numpy as np
import pytest

from research import data
from research.data import digits_8, stacked_digits_8
from research.evaluation import Evaluator
from research.experiment import Data
from research.media import pictures
from research.metrics import kernel_distance
from research.models import mlp
from research.optimizers import Optimizer
from research.sources.split import Split
from research.tasks.gan import Gan

HALF, DRAWN = 250, 1_250  # 250: one shape to compile


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
