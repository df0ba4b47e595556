"""Batches from the host: those that the device would have made, some steps ahead."""

import dataclasses
import time

import jax
import numpy as np
import pytest

from research.errors import UserError
from research.experiment import Data, Experiment, Population, Training
from research.models import mlp
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.training import feeding
from research.training.hashing import state_hash
from research.training.job import Shares, host_batches, prepare
from research.training.run import run_all
from research.training.stop import StopRequest
from research.training.trained import kept_states

HOST = Data("stacked_digits_8", placement="host")
# Two batches a step, so that a device's examples lie in two places.
EXPERIMENT = Experiment(
    steps=9,
    batch_size=8,
    data=Data("stacked_digits_8"),
    model=mlp.Model((8, 8, 3), hidden=4, layers=1, bounded=True),
    task=Gan(discriminator_steps=2),
    optimizer=Optimizer("adam", 1e-3),
    seed=3,
    checkpoint_every=3,
    log_every=1,
    score_pictures=0,
)


@pytest.fixture(scope="module")
def job():
    return prepare("fed", dataclasses.replace(EXPERIMENT, data=HOST))


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_read_their_shares_of_the_same_batch(job, processes):
    """Joined, they are the examples of the step's places in the training."""
    ranks, step = np.split(np.arange(4), processes), 7
    parts = [host_batches(job, mine, 4)(step) for mine in ranks]
    assert all(len(part["label"]) == 4 // processes for part in parts)
    labels = np.concatenate([part["label"] for part in parts])
    images = np.concatenate([part["image"] for part in parts])
    # Rank r has 2 of the first 8 examples and 2 of the second 8.
    first = step * 16 + 2 * np.arange(4)[:, None]
    places = first + np.array([0, 1, 8, 9])
    want = job.dataset.batch(job.train.arrays, 3, places.ravel().astype(np.uint32))
    np.testing.assert_array_equal(labels.ravel(), want["label"])
    np.testing.assert_array_equal(images, np.reshape(want["image"], images.shape))


def test_places_go_round_where_uint32_ends(job):
    """As they do inside the compiled step."""
    shares, step = Shares(job, 4), 2**28 + 5
    wrapped = host_batches(job, [3], 4)(step)
    places = np.uint32((step * 16 + 6) % 2**32) + shares.offsets
    want = job.dataset.batch(job.train.arrays, 3, places)
    np.testing.assert_array_equal(wrapped["label"][0], want["label"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The last states of runs that differ in where their batches are made."""
    folder = tmp_path_factory.mktemp("fed")
    ways = {
        "device": EXPERIMENT,
        "host": dataclasses.replace(EXPERIMENT, data=HOST),
        "host, jit": dataclasses.replace(
            EXPERIMENT, data=HOST, training=Training("jit")
        ),
    }
    found = {}
    for name, experiment in ways.items():
        done = run_all("fed", "", {folder / name: experiment}, StopRequest())
        (summary,) = done.values()
        found[name] = dict(kept_states(folder / name))[9], summary
    return found


def test_a_run_fed_by_the_host_ends_bit_for_bit_as_one_that_is_not(runs):
    hashes = {name: state_hash(state) for name, (state, _) in runs.items()}
    assert hashes["host"] == hashes["device"]
    near = zip(
        *(jax.tree.leaves(runs[n][0]) for n in ("host, jit", "device")), strict=True
    )
    for one, other in near:
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_the_share_of_the_time_that_the_host_took_is_told(runs):
    assert runs["device"][1]["host_share"] is None
    told = runs["host"][1]["host_share"]
    assert 0 <= told["q25"] <= told["median"] <= told["q75"] < 1
    # Of nine steps a window each, but the first and those after checkpoints.
    assert told["runs"] == 6


def test_batches_come_in_order_from_any_step_on_and_waiting_is_counted():
    def make(step):
        time.sleep(0.02)
        return np.array([step])

    feed = feeding.Feed(make, lambda batch: batch * 10, 5, 30)
    got = [int(feed.next()[0]) for _ in range(25)]
    assert got == list(range(50, 300, 10))
    with pytest.raises(StopIteration):
        feed.next()
    # Two threads, 20 ms each: 24 batches after the first in no less than 0.1 s.
    assert feed.waited > 0.1


def test_an_error_in_a_thread_is_the_loops():
    def make(step):
        raise UserError("no such record")

    with pytest.raises(UserError, match="no such record"):
        feeding.Feed(make, lambda batch: batch, 0, 3).next()


def test_data_that_leaves_a_device_no_room_is_refused():
    arrays = {"image": np.broadcast_to(np.uint8(0), (600, 2**10, 2**10))}
    with pytest.raises(UserError, match=r"0\.6 GiB, .* 1\.0: .*--data.placement host"):
        feeding.refuse_too_large(arrays, 2**30)
    feeding.refuse_too_large(arrays, 2**31)
    feeding.refuse_too_large(arrays, None)


def test_members_of_other_seeds_have_other_batches_and_are_refused(tmp_path):
    several = dataclasses.replace(EXPERIMENT, data=HOST, population=Population(2))
    places = {
        tmp_path / str(seed): dataclasses.replace(several, seed=seed) for seed in (0, 1)
    }
    with pytest.raises(UserError, match=r"--data\.placement host gives all members"):
        run_all("fed", "", places, StopRequest())
