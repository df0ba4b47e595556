"""What is told of a checkpoint that another machine or other versions have made."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from research import parts
from research.errors import UserError
from research.experiment import Data, Population
from research.training.checkpoints import Checkpoints
from research.training.files import read_metrics
from research.training.hashing import state_hash
from research.training.job import prepare
from research.training.record import Record
from research.training.resuming import resume
from research.training.run import run
from research.training.runs import Run
from research.training.stop import StopRequest
from research.training.trained import kept_states


def hashes(workdir):
    return {step: state_hash(state) for step, state in kept_states(workdir)}


def test_a_checkpoint_of_other_versions_goes_on_and_the_difference_is_told(
    twelve_steps, tmp_path, capfd
):
    settings = "small", "A claim.", twelve_steps, tmp_path, StopRequest()
    run(*settings)
    for step in (9, 12):  # what a kill after step 6 leaves
        shutil.rmtree(tmp_path / "checkpoints" / str(step))
    half = tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp"
    half.mkdir()
    about = tmp_path / "checkpoints" / "6" / "about" / "metadata"
    saved = json.loads(about.read_text())
    saved["made_with"]["versions"] |= {"jax": "0.1", "optax": "0.2"}
    about.write_text(json.dumps(saved))
    before, config = hashes(tmp_path), (tmp_path / "config.json").read_bytes()

    assert capfd.readouterr().err == ""
    run(*settings)
    (line,) = capfd.readouterr().err.splitlines()

    assert "the checkpoint of step 6 was made with other versions" in line
    assert f"versions.jax 0.1 → {jax.__version__}" in line
    assert "versions.optax 0.2 → " in line
    assert "flax" not in line
    after = hashes(tmp_path)
    assert list(after) == [6, 9, 12]
    assert not half.exists()
    # One of an earlier start that diverged is not taken for the end's.
    (tmp_path / "summary.json").write_text(json.dumps({"verdict": "nan", "steps": 3}))
    (summary,) = run(*settings).values()
    assert (summary["verdict"], summary["steps"]) == ("done", 12)
    assert after[6] == before[6]
    assert (tmp_path / "config.json").read_bytes() == config


def stopping_at(last, stop):
    """A record that asks for an end once a step is logged."""

    class Stopping(Record):
        def metrics(self, step, seconds, values):
            super().metrics(step, seconds, values)
            if step == last:
                stop.reason = "preempted"

    return Stopping


def test_a_population_goes_on_without_its_lost_member(
    twelve_steps, tmp_path, monkeypatch, capfd
):
    """It diverges in step 2; the others soon keep no checkpoint of step 1."""
    settings = dataclasses.replace(
        twelve_steps,
        checkpoint_every=1,
        optimizer=dataclasses.replace(twelve_steps.optimizer, schedule="constant"),
        population=Population(vary=("optimizer.learning_rate=1e-3,1e38,2e-3",)),
    )
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run("small", "", settings, whole, StopRequest())
    for step in (6, None):
        stop = StopRequest()
        with monkeypatch.context() as patch:
            patch.setattr("research.training.run.Record", stopping_at(step, stop))
            found = run("small", "", settings, stopped, stop)
        verdicts = [summary["verdict"] for summary in found.values()]
        going = "preempted" if step else "done"
        assert verdicts == [going, "nan", going]
    assert "small: continues at step 7" in capfd.readouterr().out

    for workdir in found:
        alone = whole / workdir.name
        assert hashes(workdir) == hashes(alone)
        assert lines_of(workdir) == lines_of(alone)
        end = (workdir / "end.json").read_bytes()
        assert end == (alone / "end.json").read_bytes()
    kept = [list(hashes(workdir)) for workdir in found]
    assert kept == [[10, 11, 12], [1], [10, 11, 12]]

    # Started again nothing is trained, the lost one neither.
    run("small", "", settings, stopped, StopRequest())
    assert (
        capfd.readouterr()
        .out.splitlines()[-1]
        .endswith("2 runs are trained to step 12 already, and 1 diverged on the way")
    )


@pytest.fixture
def saved(twelve_steps, tmp_path):
    """Runs that are saved every third step, with checkpoints of the steps given."""
    job, opened = prepare("small", twelve_steps), []

    def of(**steps):
        for name, its in steps.items():
            record = Record(tmp_path / name, {"config": {}})
            one = Run(job, record, Checkpoints(tmp_path / name / "kept"), None)
            for step in its:
                one.checkpoints.save(step, {"step": np.int32(step)})
            one.checkpoints.problem(wait=True)
            opened.append(one)
        return opened

    yield of
    for one in opened:
        one.checkpoints.close()
        one.record.close()


def standings(runs):
    return [(one.step, one.diverged) for one in resume("small", runs, None)]


def test_a_lost_member_lives_where_it_has_the_step_of_the_others(saved, capsys):
    ours, lost = runs = saved(ours=[1, 4, 5], lost=[1, 2])
    lost.record.ended("nan", 2)
    assert standings(runs) == [(5, False), (2, True)]
    assert lost.checkpoints.steps() == [1, 2]
    ours.checkpoints.drop_after(1)
    assert standings(runs) == [(1, False), (1, False)]
    assert lost.checkpoints.steps() == [1]
    # Its damage is no reason to keep the others from going on.
    ours.checkpoints.save(6, {"step": np.int32(6)})
    ours.checkpoints.problem(wait=True)
    (lost.checkpoints.folder / "1" / "about" / "metadata").write_text("")
    assert standings(runs) == [(6, False), (0, True)]
    assert "no checkpoint is left that can be read" in capsys.readouterr().err


def test_where_all_have_diverged_those_that_came_furthest_go_on(saved):
    runs = saved(first=[2], second=[4], third=[4])
    for one in runs:
        one.record.ended("nan", max(one.checkpoints.steps()))
    assert standings(runs) == [(2, True), (4, False), (4, False)]


def test_what_is_dropped_for_others_is_a_first_checkpoint_and_is_told(saved, capsys):
    first, _ = runs = saved(first=[3], second=[])
    assert standings(runs) == [(0, False), (0, False)]
    assert "only 1 of 2 runs had saved" in capsys.readouterr().err
    assert first.checkpoints.steps() == []


def test_new_members_do_not_take_from_the_others_what_they_have(saved):
    old, _ = runs = saved(old=[8], new=[])
    with pytest.raises(UserError, match="train new members of a population in"):
        resume("small", runs, None)
    assert old.checkpoints.steps() == [8]


def lines_of(workdir):
    """All lines without their seconds."""
    return [line | {"seconds": 0} for line in read_metrics(workdir)]


def record_of(workdir):
    """All lines without their seconds, and the bytes of all samples."""
    return lines_of(workdir), {
        p.name: p.read_bytes() for p in (workdir / "samples").iterdir()
    }


@pytest.fixture(scope="module")
def undisturbed(trained, tmp_path_factory):
    """A run that draws, of four steps, saved and validated at the third."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "text").write_text("abcd efgh\n" * 1_000)
    full = parts.find("experiments", "text_lstm").experiment("minutes")
    small = dataclasses.replace(
        full,
        steps=4,
        batch_size=4,
        log_every=1,
        checkpoint_every=3,
        validation_examples=4,
        data=Data("text", path=folder / "text", length=4),
        model=dataclasses.replace(full.model, hidden=4, embedding=4),
        task=dataclasses.replace(full.task, draw_length=2),
    )
    job = prepare("text_lstm", small)
    trained(job, folder / "run")
    return job, folder / "run"


@pytest.mark.parametrize("lost", [1, 3])
def test_what_a_kill_within_a_validation_left_out_is_written(
    undisturbed, trained, tmp_path, lost
):
    """The sample file, then how samples vary, then the validation: the last first."""
    job, whole = undisturbed
    workdir = tmp_path / "run"
    shutil.copytree(whole, workdir)
    shutil.rmtree(workdir / "checkpoints" / "4")
    (workdir / "config.json").unlink()  # not that of a command
    lines = (workdir / "metrics.jsonl").read_text().splitlines(keepends=True)
    third = [line for line in lines if '"step": 3' in line]
    assert ["validation_" in line for line in third] == [False, True, False]
    end = lines.index(third[-1]) + 2 - lost
    (workdir / "metrics.jsonl").write_text("".join(lines[:end]))
    for file in (workdir / "samples").iterdir():
        file.unlink()

    trained(job, workdir)

    assert record_of(workdir) == record_of(whole)
