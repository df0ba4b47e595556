"""`train` as a user sees it: runs, resumes, stops and fails, in real processes."""

import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from research.training.events import EVENT

STEPS = 40


def read(workdir, name):
    return json.loads((workdir / name).read_text())


def metrics(workdir, without=("seconds",)):
    """Lines of metrics.jsonl, without what two equal runs may differ in."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in without} for line in lines]


# --- a run ---------------------------------------------------------------------------


def test_a_gan_leaves_all_that_is_promised(gan_run):
    workdir, done = gan_run
    assert f"report: {workdir / 'report.html'}" in done.stdout
    assert done.stderr == ""
    lines = metrics(workdir)
    watched = [line for line in lines if "sample_diversity" in line]
    assert [line["step"] for line in watched] == list(range(4, STEPS + 1, 4))
    assert all(0 <= line["sample_modes"] <= 1 for line in watched)
    lines = [line for line in lines if line not in watched]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    named = {"generator_loss", "discriminator_loss", "real_logit", "fake_logit"}
    for line in lines:
        assert named | {"discriminator_accuracy"} <= set(line)
        assert all(map(math.isfinite, line.values()))
    summary = read(workdir, "summary.json")
    assert summary["verdict"] == "done"
    assert (summary["steps"], summary["family"]) == (STEPS, "gan")
    # Width 2, noise of 5: by hand, as in the tests of the networks.
    generator = 5 * 7 * 7 * 8 + 25 * (8 * 4 + 4 * 2 + 2 * 3) + 2 * (4 + 2 + 3)
    discriminator = 25 * 3 * 2 + 2 + 25 * 2 * 4 + 4 + 7 * 7 * 4 + 1
    assert summary["parameters"] == {
        "generator": generator,
        "discriminator": discriminator,
    }
    assert summary["draw_seconds"] > 0
    measured = summary["metrics"]
    assert measured
    for found in measured.values():
        assert math.isfinite(found["value"])
        assert found["samples"] > 0
    for report in ("report.html", "report.md"):
        assert "seed_gan" in (workdir / report).read_text()
    assert any((workdir / "tensorboard").iterdir())


def test_a_run_says_what_it_was_made_from(gan_run):
    workdir, _ = gan_run
    config = read(workdir, "config.json")
    assert config["experiment"] == "seed_gan"
    assert config["claim"].startswith("The article's GAN collapses")
    assert config["config"]["model"]["width"] == 2
    assert config["config"]["task"]["ema"] == 0.9
    stamp = config["stamp"]
    assert stamp["devices"] == 4
    assert "train seed_gan --steps 40" in stamp["command"]
    assert "jax" in stamp["versions"]


def test_sample_pictures_of_every_checkpoint(gan_run):
    workdir, _ = gan_run
    sheets = sorted((workdir / "samples").glob("step_*.png"))
    want = [f"step_{step:08d}.png" for step in range(4, STEPS + 1, 4)]
    assert [sheet.name for sheet in sheets] == want
    with Image.open(sheets[-1]) as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (148, 148, 3)  # 5 · 28 and four gaps of 2
    final = np.load(workdir / "samples" / "final.npy")
    assert final.shape == (25, 28, 28, 3)
    np.testing.assert_array_equal(pixels[:28, :28], final[0])
    np.testing.assert_array_equal(pixels[-28:, -28:], final[24])


def test_an_lstm_is_validated_at_every_checkpoint(lstm_run):
    workdir, done = lstm_run
    assert done.stderr == ""
    validated = [line for line in metrics(workdir) if "validation_loss" in line]
    assert [line["step"] for line in validated] == list(range(4, STEPS + 1, 4))
    for line in validated:
        assert 0 <= line["validation_accuracy"] <= 1
    summary = read(workdir, "summary.json")
    assert summary["family"] == "lstm"
    assert summary["parameters"] == {"model": 4 * 4 * (28 + 4 + 1) + 4 * 10 + 10}
    last = validated[-1]["validation_loss"]
    assert summary["metrics"]["loss"]["samples"] == 50
    assert summary["metrics"]["loss"]["value"] == pytest.approx(last)


def test_it_says_where_its_time_went(lstm_run):
    workdir, done = lstm_run
    (told,) = [line for line in done.stdout.splitlines() if "% steps" in line]
    spent = read(workdir, "summary.json")["wall_seconds"]
    assert told.startswith(f"seed_lstm: {sum(spent.values()):.0f} s: ")
    assert {"steps", "compile", "data", "saving", "evaluation"} <= set(spent)


def test_tensorboard_shows_the_numbers_of_the_record(lstm_run):
    """Of each event: its length in 8 bytes, 4 of a checksum, itself, 4 of another."""
    workdir, _ = lstm_run
    (file,) = (workdir / "tensorboard").iterdir()
    data, at, found = file.read_bytes(), 0, set()
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        event = EVENT.Event.FromString(data[at + 12 : at + 12 + size])
        found |= {(event.step, v.tag, v.simple_value) for v in event.summary.value}
        at += size + 16
    want = {
        (line["step"], name, float(np.float32(value)))
        for line in metrics(workdir)
        for name, value in line.items()
        if name != "step"
    }
    assert found == want


def test_a_second_train_trains_no_more(launch, gan_run):
    workdir, _ = gan_run
    names = ("metrics.jsonl", "summary.json", "config.json")
    before = {name: (workdir / name).read_bytes() for name in names}
    hashes = launch.hashes(workdir)
    code, out, error = launch.within("train", *launch.GAN, "--workdir", workdir)
    assert code == 0, error
    assert f"trained to step {STEPS} already" in out
    assert {name: (workdir / name).read_bytes() for name in names} == before
    assert launch.hashes(workdir) == hashes


# --- cut short and gone on -----------------------------------------------------------


def assert_same_run(launch, workdir, reference):
    """The same states bit for bit, and every step logged once with the same numbers.

    A GAN's score, 6 s of CPU, is of its last state: tests/launch/test_verbs.py.
    """
    assert launch.hashes(workdir) == launch.hashes(reference)
    assert metrics(workdir) == metrics(reference)
    ours, theirs = (read(w, "summary.json") for w in (workdir, reference))
    assert ours["metrics"] == (theirs["metrics"] if ours["family"] == "lstm" else {})
    assert ours["verdict"] == "done"
    for name in ("final.npy", f"step_{STEPS:08d}.png"):
        if (reference / "samples" / name).exists():
            made = (workdir / "samples" / name).read_bytes()
            assert made == (reference / "samples" / name).read_bytes()


@pytest.mark.parametrize("family", ["gan", "lstm"])
def test_killed_and_started_again_it_ends_the_same(launch, request, tmp_path, family):
    reference, _ = request.getfixturevalue(f"{family}_run")
    command = {"gan": launch.GAN, "lstm": launch.LSTM}[family]
    workdir = tmp_path / "killed"
    with launch.start("train", *command, "--workdir", workdir) as process:
        launch.wait_for_step(process, workdir, 18)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    kept = launch.hashes(workdir)
    # A save waits for the one before it: of those at 4, 8, 12 and 16, three are whole.
    assert len(kept) >= 3
    assert 12 <= max(kept) < STEPS
    assert not (workdir / "summary.json").exists()
    unscored = ("--score-pictures", 0)
    rest = launch("train", *command, *unscored, "--workdir", workdir)
    assert rest.returncode == 0, rest.stderr
    assert f"continues at step {max(kept)}" in rest.stdout
    assert_same_run(launch, workdir, reference)


def test_stopped_by_ctrl_c_and_by_a_notice_it_saves_and_ends_the_same(
    launch, lstm_run, tmp_path
):
    reference, _ = lstm_run
    workdir, begun = tmp_path / "stopped", 1
    for number, code, says in [
        (signal.SIGINT, 130, "interrupted, saved"),
        (signal.SIGTERM, 85, "preempted, saved"),
    ]:
        with launch.start("train", *launch.LSTM, "--workdir", workdir) as process:
            launch.wait_for_step(process, workdir, begun + 1)
            os.kill(process.pid, number)
            out, error = process.communicate(timeout=120)
        assert process.returncode == code, error
        assert error == ""
        assert says in out
        assert "launch/run train seed_lstm --steps 40" in out
        (*_, last) = launch.logged_steps(workdir)
        assert begun < last < STEPS
        # Saved where it stopped, which is a checkpoint's step only by chance.
        assert max(launch.hashes(workdir)) == last
        begun = last
    rest = launch("train", *launch.LSTM, "--workdir", workdir)
    assert rest.returncode == 0, rest.stderr
    assert f"continues at step {begun}" in rest.stdout
    # What was logged when it stopped is the line of an ordinary step.
    assert metrics(workdir) == metrics(reference)
    ours, theirs = launch.hashes(workdir), launch.hashes(reference)
    assert ours[STEPS] == theirs[STEPS]


def test_a_notice_during_the_imports_says_start_again(launch, tmp_path):
    """Before anything of `train` is there to answer it."""
    with launch.start("train", *launch.LSTM, "--workdir", tmp_path / "run") as process:
        maps = Path(f"/proc/{process.pid}/maps")
        while "/numpy/" not in maps.read_text():  # one of the first of them
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (85, "", "")
    assert not (tmp_path / "run").exists()


# --- failures ------------------------------------------------------------------------


def test_a_run_that_diverges_keeps_its_last_good_state(launch, tmp_path):
    """Weights of 1e38 are finite, and one step later nothing is: seen by the state
    that would be saved, long before a loss is looked at."""
    workdir = tmp_path / "diverged"
    command = (
        "seed_lstm --steps 9 --batch-size 8 --model.hidden 4 --validation-examples 8 "
        "--optimizer.learning-rate 1e38 --optimizer.schedule constant "
        "--checkpoint-every 1 --log-every 100"
    )
    code, _, error = launch.within("train", *command.split(), "--workdir", workdir)
    assert code == 3, error
    (line,) = error.splitlines()
    assert line.startswith("train: a loss or a weight of seed_lstm is not finite")
    assert "lower --optimizer.learning-rate" in line
    summary = read(workdir, "summary.json")
    kept = launch.hashes(workdir)
    assert summary["verdict"] == "nan"
    assert summary["steps"] == 1
    assert list(kept) == [1]
    assert "the last good state, of step 1, is in" in line
    # Started again it goes on from there, and fails again: nothing is called done.
    code, _, error = launch.within("train", *command.split(), "--workdir", workdir)
    assert (code, error.splitlines()) == (3, [line])
    assert launch.hashes(workdir) == kept


def test_other_settings_are_refused_and_free_ones_go_on(launch, lstm_run):
    workdir, _ = lstm_run
    before = (workdir / "metrics.jsonl").read_bytes()
    other = [*launch.LSTM, "--optimizer.learning-rate", "0.5", "--workdir", workdir]
    code, _, error = launch.within("train", *other)
    assert code == 2
    (line,) = error.splitlines()
    assert "optimizer.learning_rate 0.003 → 0.5" in line
    assert "another --workdir" in line
    free = [*launch.LSTM, "--log-every", "7", "--workdir", workdir]
    code, out, error = launch.within("train", *free)
    assert code == 0, error
    assert "already" in out
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_a_run_that_diverges_at_once_says_that_nothing_is_saved(launch, tmp_path):
    workdir = tmp_path / "diverged"
    command = (
        "seed_gan --steps 3 --batch-size 8 --model.width 2 --model.latent 5 "
        "--optimizer.learning-rate 1e30 --log-every 1"
    )
    code, _, error = launch.within("train", *command.split(), "--workdir", workdir)
    assert code == 3
    (line,) = error.splitlines()
    assert "no state was saved before" in line
    assert launch.logged_steps(workdir) == [1]  # seen by the loss, at once
    assert launch.hashes(workdir) == {}


def test_a_collapse_is_an_exit_code_where_that_is_asked_for(launch, gan_run):
    """A GAN of width 2 and 40 steps draws one thing; a done run is judged again."""
    workdir, _ = gan_run
    assert json.loads((workdir / "summary.json").read_text())["health"] == "collapsed"
    command = ("train", *launch.GAN, "--workdir", workdir)
    code, _, error = launch.within(*command, "--fail-on", "d_saturated,collapsed")
    assert (code, error.strip()) == (3, f"train: --fail-on: {workdir} collapsed")
    assert launch.within(*command, "--fail-on", "diverged")[0] == 0
    code, _, error = launch.within(*command, "--fail-on", "colapsed")
    assert code == 2
    assert "did you mean 'collapsed'?" in error


def test_a_score_that_cannot_be_had_is_refused_before_training(launch, tmp_path):
    command = ("train", "seed_gan", "--score-pictures", "100", "--workdir", tmp_path)
    code, _, error = launch.within(*command)
    assert code == 2
    assert "--score-pictures 100: distances in digit features need 385" in error
    assert not list(tmp_path.iterdir())
