"""A population is dealt out over the devices, and each member ends as before."""

import dataclasses

import jax
import numpy as np
import pytest

from research.experiment import Data, Experiment, Training
from research.models import mlp
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.training import layout, strategies
from research.training.cores import wanted
from research.training.job import prepare, with_settings
from research.training.members import Members

STEPS = 4
RING = Experiment(
    steps=20,
    batch_size=8,
    data=Data("ring"),
    # BatchNorm: its statistics are those of the batch over a row's devices.
    model=mlp.Model(hidden=4, layers=1, norm=True),
    task=Gan("relativistic", {"r1": 0.1}, ema=0.5),
    # Adam would blow up the rounding in the biases before it, whose gradient is 0.
    optimizer=Optimizer("sgd", 1e-2, "cosine"),
)


@pytest.fixture(scope="module")
def members():
    first = prepare("ring", RING)
    seeds = [dataclasses.replace(RING, seed=seed) for seed in range(3)]
    return Members([with_settings(first, seed) for seed in seeds])


def trained(members, place):
    """Each member's state and metrics after STEPS, and the stacked state's arrays."""
    step = place.parallel(members.step(place.ranks), repeats=True)
    state = place.state(members.stack(members.initial_states()))
    inputs = place.inputs(members.values, members.jobs[0].train.arrays)
    state, metrics = step(state, STEPS, *inputs)
    return members.split(place.fetch((state, metrics))), state


def test_dealt_members_end_as_those_that_are_spread(members):
    place = layout.of(RING, 3)
    assert isinstance(place, layout.Dealt)
    assert place.ranks == 2  # four devices in two rows of two
    dealt, state = trained(members, place)
    spread, _ = trained(members, layout.Spread(strategies.find(RING)))
    assert len(dealt) == len(spread) == 3
    for got, want in zip(dealt, spread, strict=True):
        for a, b in zip(*map(jax.tree.leaves, (got, want)), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)
    # The third member has a place of its own beside the first two, and is there twice.
    weights = state.generator.params["Dense_0"]["kernel"]
    shards = {s.device.id: np.asarray(s.data) for s in weights.addressable_shards}
    assert [len(shard) for shard in shards.values()] == [2] * 4
    rows = [dealt[0], dealt[1]], [dealt[2], dealt[2]]
    for device, shard in shards.items():
        for place, (its, _) in zip(shard, rows[device // 2], strict=True):
            np.testing.assert_array_equal(
                place, its.generator.params["Dense_0"]["kernel"]
            )


def test_a_run_alone_is_spread_by_its_strategy():
    place = layout.of(dataclasses.replace(RING, training=Training("jit")), 1)
    assert isinstance(place, layout.Spread)
    assert place.ranks == jax.device_count() == 4


@pytest.mark.parametrize(
    ("members", "devices", "rows"),
    [(1, 8, 1), (2, 8, 2), (3, 4, 2), (16, 2, 2), (5, 6, 3), (7, 7, 7), (9, 1, 1)],
)
def test_rows_divide_the_devices_and_are_no_more_than_members(members, devices, rows):
    assert layout.rows(members, devices) == rows


@pytest.mark.parametrize(
    ("groups", "cores", "devices"),
    [
        ([(16, 64)], 2, 2),
        ([(10, 64), (1, 64)], 8, 1),  # a run alone would be spread
        ([(3, 64)], 8, 2),
        ([(8, 9), (8, 12)], 4, 3),
        ([(8, 9), (8, 8)], 4, 1),
        ([], 4, 4),
    ],
)
def test_cores_are_taken_where_all_groups_have_use_for_them(groups, cores, devices):
    assert wanted(groups, cores) == devices
