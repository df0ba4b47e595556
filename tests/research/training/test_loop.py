"""What the loop refuses before it starts, and how it shares a batch."""

import dataclasses

import jax
import numpy as np
import pytest

from research import parts
from research.errors import UserError
from research.training import devices, loop
from research.training.checkpoints import Checkpoints
from research.training.files import read_metrics
from research.training.goodput import Goodput
from research.training.hashing import state_hash
from research.training.job import prepare
from research.training.members import Members
from research.training.record import Record
from research.training.stop import StopRequest
from research.training.strategies import COPIED, PLAIN, pmap
from research.training.summary import evaluator_of, quartiles


@pytest.fixture(scope="module")
def experiment():
    return parts.find("experiments", "seed_lstm").experiment("minutes")


@pytest.mark.parametrize(
    ("field", "value", "least"),
    [
        ("steps", 0, 1),
        ("batch_size", 0, 1),
        ("checkpoint_every", -1, 1),
        ("log_every", 0, 1),
        ("validation_examples", 1, 2),
        ("score_pictures", -1, 0),
    ],
)
def test_counts_that_are_too_small_are_refused(experiment, field, value, least):
    wrong = dataclasses.replace(experiment, **{field: value})
    flag = f"--{field.replace('_', '-')} is {value}: give {least} or more"
    with pytest.raises(UserError, match=flag):
        prepare("seed_lstm", wrong)


@pytest.mark.parametrize(
    ("batch", "advice"), [(30, "28 or 32"), (3, "take 4"), (101, "100 or 104")]
)
def test_a_batch_that_does_not_divide_is_refused(batch, advice):
    with pytest.raises(UserError) as refusal:
        devices.share(batch, 4)
    text = str(refusal.value)
    assert f"--batch-size {batch} does not divide over 4 devices" in text
    assert text.endswith(advice)


def test_a_batch_is_shared_evenly():
    assert [devices.share(64, n) for n in (1, 2, 4)] == [64, 32, 16]


class StoppingRecord(Record):
    """Notes a request to stop at the worst time: once a step was found to go on."""

    def __init__(self, workdir, stop):
        super().__init__(workdir, {"config": {}})
        self.stop = stop

    def metrics(self, step, seconds, values):
        super().metrics(step, seconds, values)
        self.stop.reason = "preempted"


def test_a_signal_between_two_looks_at_it_loses_no_step(experiment, tmp_path):
    short = dataclasses.replace(
        experiment, steps=9, batch_size=8, log_every=1, checkpoint_every=100
    )
    job = prepare("seed_lstm", short)
    stop = StopRequest()
    record = StoppingRecord(tmp_path, stop)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    one = loop.Run(job, record, checkpoints, evaluator_of(job))
    (outcome,) = loop.train("seed_lstm", [one], stop, Goodput())
    checkpoints.close()
    record.close()
    assert outcome.verdict == "preempted"
    # The signal came while step 1 was logged; step 2 sees it, saves and ends.
    assert outcome.step == outcome.state.step == 2
    assert Checkpoints(tmp_path / "checkpoints").steps() == [2]


def test_copies_go_to_every_device_and_one_comes_back():
    tree = {"a": np.arange(3.0, dtype=np.float32), "n": np.uint32(4)}
    copies = pmap.replicate(tree)
    assert copies["a"].shape == (jax.device_count(), 3)
    assert len(copies["a"].sharding.device_set) == jax.device_count() == 4
    back = pmap.fetch(copies)
    assert isinstance(back["a"], np.ndarray)
    np.testing.assert_array_equal(back["a"], tree["a"])
    assert back["n"] == 4


def test_a_compiled_step_runs_under_the_axis_and_takes_its_state():
    def step(state, x):
        total = jax.lax.psum(state + x, "batch")
        return total, jax.lax.pmean(x, "batch")

    state = pmap.replicate(np.float32(1))
    x = np.arange(4, dtype=np.float32)
    new, mean = pmap.parallel(step)(state, x)
    np.testing.assert_array_equal(new, np.full(4, 10.0))
    np.testing.assert_array_equal(mean, np.full(4, 1.5))
    assert state.is_deleted()


def test_quartiles_of_step_times():
    assert quartiles([]) is None
    found = quartiles([4.0, 1.0, 3.0, 2.0, 5.0])
    assert found == {"median": 3.0, "q25": 2.0, "q75": 4.0, "runs": 5}


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_steps_of_one_call_are_bit_for_bit_single_ones(
    experiment, tmp_path, monkeypatch, seconds
):
    """However many a call makes, every step that is logged or saved is an end."""
    short = dataclasses.replace(
        experiment, steps=23, batch_size=8, log_every=4, checkpoint_every=10
    )
    job = prepare("seed_lstm", short)
    monkeypatch.setattr(loop, "CALL_SECONDS", seconds)
    made = []
    parallel = pmap.parallel

    def noted(step, *places):
        compiled = parallel(step, *places)
        return lambda state, count, *rest: (
            made.append(count) or compiled(state, count, *rest)
        )

    monkeypatch.setattr(pmap, "parallel", noted)
    outcome, workdir = trained(job, tmp_path)
    counts = {0.0: [1] * 23, 1e9: [1] * 8 + [2, 2, 4, 4, 3]}[seconds]
    assert made == counts
    steps = [line["step"] for line in read_metrics(workdir) if "loss" in line]
    assert steps == [4, 8, 12, 16, 20, 23]
    assert state_hash(outcome.state) == state_hash(_by_single_calls(job))


def trained(job, workdir):
    record = Record(workdir, {"config": {}})
    checkpoints = Checkpoints(workdir / "checkpoints")
    one = loop.Run(job, record, checkpoints, evaluator_of(job))
    (outcome,) = loop.train(job.name, [one], StopRequest(), Goodput())
    checkpoints.close()
    record.close()
    return outcome, workdir


def _by_single_calls(job):
    """The state after all steps, each a call of its own, without the loop."""
    members = Members([job])
    step = devices.repeated(members.step(jax.device_count()))
    step = pmap.parallel(step, (PLAIN, COPIED, COPIED))
    state = pmap.replicate(*members.initial_states())
    inputs = pmap.replicate((members.values, job.train.arrays))
    for _ in range(job.experiment.steps):
        state, _ = step(state, 1, *inputs)
    return pmap.fetch(state)


def test_convolutions_of_xla_are_not_put_into_a_loop_on_cpu():
    def convolved(state, x):
        return state, jax.lax.conv(x, x, (1, 1), "SAME").sum()

    def multiplied(state, x):
        return state, jax.lax.pmean((x @ x).sum(), "batch")

    assert not devices.repeats_well(convolved, 4, 0.0, np.ones((1, 1, 3, 3)))
    assert devices.repeats_well(multiplied, 4, 0.0, np.ones((3, 3)))
