"""A number that is not finite: found, replayed, left out or gone round."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.training import not_finite
from research.training.checkpoints import Checkpoints
from research.training.files import read_metrics
from research.training.goodput import Goodput
from research.training.hashing import state_hash
from research.training.job import prepare
from research.training.not_finite import all_finite, guard, guarded, in_another_order
from research.training.record import Record
from research.training.replay import not_finite as names_of
from research.training.replay import replay
from research.training.resuming import go_on
from research.training.run import run
from research.training.runs import Run
from research.training.stop import StopRequest

POISON = 5  # the step, counted from 0, whose batch has a NaN


@pytest.fixture
def poisoned(twelve_steps):
    """A job of which one step's data, under its own seed, gives NaN."""

    def of(on_nan, seeds=(0,)):
        job = prepare("poisoned", dataclasses.replace(twelve_steps, on_nan=on_nan))

        def step(state, batch, key):
            bad = jnp.isin(jax.random.key_data(key), _keys(seeds)).any()
            state, metrics = job.task.step(state, batch, key)
            return state, metrics | {"loss": jnp.where(bad, jnp.nan, metrics["loss"])}

        return job._replace(task=job.task._replace(step=step))

    return of


def _keys(seeds):
    """Key data of the poisoned step under each of these seeds."""
    keys = [jax.random.fold_in(jax.random.key(seed), POISON) for seed in seeds]
    return jnp.concatenate([jax.random.key_data(key) for key in keys])


def losses(workdir):
    lines = read_metrics(workdir)
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def test_an_update_that_is_not_finite_is_left_out_and_nothing_else():
    def step(state, x):
        new = {"w": state["w"] - x, "step": state["step"] + 1, "n": state["n"] + 2}
        new["begun"] = state["begun"]
        return new, {"loss": x * 2}

    def left_out(state, x):
        return state | {"begun": state["begun"] + 1}

    zero = np.uint32(0)
    state = {"w": np.float32(1), "step": zero, "n": zero, "begun": zero}
    state, said = guarded(state, skipped=7, in_a_row=0), []
    for x in (0.5, np.nan, np.inf, 0.25):
        state, metrics = jax.jit(guard(step, left_out))(state, np.float32(x))
        said.append((int(metrics["skipped_updates"]), int(metrics["skipped_in_a_row"])))
    assert said == [(7, 0), (8, 1), (9, 2), (9, 0)]
    assert {n: float(v) for n, v in state.state.items()} == {
        "w": 0.25, "step": 4.0, "n": 4.0, "begun": 2.0,
    }  # fmt: skip


def test_whole_numbers_are_finite_and_one_nan_is_not():
    tree = {"a": jnp.ones(3), "n": jnp.arange(2), "b": jnp.bfloat16(2)}
    assert all_finite(tree)
    assert not all_finite(tree | {"a": jnp.array([1.0, jnp.nan, 0.0])})
    assert not all_finite(tree | {"b": jnp.bfloat16(-jnp.inf)})


def test_a_run_of_nothing_but_finite_numbers_is_the_same_with_skip(
    twelve_steps, trained, tmp_path
):
    ends = []
    for on_nan in ("stop", "skip"):
        job = prepare("plain", dataclasses.replace(twelve_steps, on_nan=on_nan))
        ends.append(trained(job, tmp_path / on_nan))
    assert state_hash(ends[0].state) == state_hash(ends[1].state)
    assert losses(tmp_path / "stop") == losses(tmp_path / "skip")
    assert [end.skipped for end in ends] == [0, 0]


def test_skip_leaves_the_poisoned_update_out_and_counts_it(poisoned, trained, tmp_path):
    outcome = trained(poisoned("skip"), tmp_path)
    assert (outcome.verdict, outcome.step, outcome.skipped) == ("done", 12, 1)
    lines = {line["step"]: line for line in read_metrics(tmp_path) if "loss" in line}
    assert sorted(lines) == [s for s in range(1, 13) if s != POISON + 1]
    assert [lines[s]["skipped_updates"] for s in (POISON, POISON + 2)] == [0, 1]
    assert Checkpoints(tmp_path / "checkpoints").about(12)["skipped_updates"] == 1
    # Started again with no step to make, as after a kill while it measured.
    (tmp_path / "config.json").unlink()
    assert trained(poisoned("skip"), tmp_path).skipped == 1
    # After a kill a start takes up the count of those in a row, too.
    (tmp_path / "config.json").unlink()
    for step in (9, 12):
        shutil.rmtree(tmp_path / "checkpoints" / str(step))
    record, checkpoints = Record(tmp_path, {}), Checkpoints(tmp_path / "checkpoints")
    one = Run(poisoned("skip"), record, checkpoints, evaluator=None)
    (standing,) = go_on("poisoned", [one], Goodput()).standings
    assert (standing.step, standing.skipped, standing.in_a_row) == (6, 1, 1)
    record.close()


def test_stop_writes_what_the_step_began_from(poisoned, trained, tmp_path):
    outcome = trained(poisoned("stop"), tmp_path)
    assert (outcome.verdict, outcome.step) == ("nan", 3)
    (file,) = (tmp_path / "not_finite").iterdir()
    assert file.name == f"step_{POISON + 1:08d}.npz"
    with np.load(file) as arrays:
        assert arrays["state/step"] == POISON
        want = np.arange(8 * POISON, 8 * POISON + 8)
        np.testing.assert_array_equal(arrays["batch/position"], want)
        assert all(np.isfinite(arrays[name]).all() for name in arrays)


def test_the_last_good_state_has_one_more_try_to_be_saved(
    poisoned, trained, tmp_path, monkeypatch
):
    right, refused = Checkpoints.save, []

    def save(self, step, *state):
        if not refused:
            refused.append(step)
            return "no room"
        return right(self, step, *state)

    monkeypatch.setattr(Checkpoints, "save", save)
    outcome = trained(poisoned("stop"), tmp_path)
    assert (outcome.verdict, outcome.step, refused) == ("nan", 3, [3])
    assert Checkpoints(tmp_path / "checkpoints").steps() == [3]


def test_rewind_goes_back_and_on_in_another_order(poisoned, trained, tmp_path):
    outcome = trained(poisoned("rewind"), tmp_path)
    assert (outcome.verdict, outcome.step, outcome.rewinds) == ("done", 12, 1)
    found = losses(tmp_path)
    assert sorted(found) == list(range(1, 13))
    # To step 3 as it was, and from there as a run of the other order would.
    alone = trained(poisoned("stop"), tmp_path / "stopped")
    before = losses(tmp_path / "stopped")
    assert alone.verdict == "nan"
    assert all(found[step] == before[step] for step in (1, 2, 3))
    assert all(found[step] != before[step] for step in (4, 5))
    assert Checkpoints(tmp_path / "checkpoints").about(12)["rewinds"] == 1


def test_a_run_that_no_order_helps_is_lost(poisoned, trained, tmp_path):
    job = poisoned("rewind", seeds=())
    orders = range(not_finite.REWINDS + 1)
    seeds = [in_another_order(job, n).experiment.seed for n in orders]
    assert len({*seeds}) == len(seeds)
    outcome = trained(poisoned("rewind", seeds=seeds), tmp_path)
    assert (outcome.verdict, outcome.step) == ("nan", 3)
    assert outcome.rewinds == not_finite.REWINDS


def test_a_replay_tells_what_is_not_finite_and_where(twelve_steps, tmp_path):
    """Weights of 1e38 are finite; their products are not."""
    rate = dataclasses.replace(
        twelve_steps.optimizer, learning_rate=1e38, schedule="constant"
    )
    wrong = dataclasses.replace(twelve_steps, optimizer=rate, checkpoint_every=1)
    found = run("seed_lstm", "", wrong, tmp_path, StopRequest())
    assert found[tmp_path]["verdict"] == "nan"
    told = replay(tmp_path)
    assert told.step == found[tmp_path]["steps"] == 1
    assert told.batch == told.state_before == {}
    assert "loss" in told.metrics
    assert any(name.startswith("params/") for name in told.state)
    assert told.where is not None
    assert "research/" in told.where or "kernels/" in told.where
    assert json.loads(json.dumps(told.metrics)) == told.metrics


def test_names_of_what_is_not_finite():
    tree = {"a": np.array([1, np.nan, np.inf]), "b": np.zeros(2), "n": np.uint8(3)}
    assert names_of(tree) == {"a": 2}
