"""One run over several processes: real ones, over gloo, that are stopped and killed.

What starts more than six of them is for the full form, `launch/run test chaos`.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from launch import _supervised as supervised
from research.training.trained import kept_states

ROOT = Path(__file__).resolve().parents[2]
# Seconds to wait: jax takes a process for dead after 10, and 8 after a notice
# `research.training.stop` ends what has not saved. The short form has room for a busy
# machine.
FULL = os.environ.get("CHAOS") == "full"
LOSS_IS_TOLD, SAVED = (15.0, 10.0) if FULL else (30.0, 60.0)
NOTICES = 20  # of the full form
full_form = pytest.mark.skipif(
    not FULL,
    reason="80 processes: `launch/run test chaos` starts them",
)


class Together:
    """The processes of one run, by default with four devices in all."""

    def __init__(
        self, launch, workdir, count, port, settings=(), devices=4, experiment=None
    ):
        self.launch, self.workdir = launch, workdir
        experiment = launch.LSTM if experiment is None else experiment
        self.processes = [
            launch.start(
                "train",
                *experiment,
                *settings,
                "--workdir",
                workdir,
                JAX_NUM_CPU_DEVICES=str(devices // count),
                LAUNCH_DISTRIBUTED=f"{index}/{count}@127.0.0.1:{port}",
            )
            for index in range(count)
        ]

    def wait_for_step(self, step):
        self.launch.wait_for_step(self.processes[0], self.workdir, step)

    def wait_for_children(self):
        """Each has begun to pass signals on: a second of imports is not over before."""
        for process in self.processes:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            while not children.read_text():
                time.sleep(0.005)

    def ends(self, within, without=None):
        """Exit code, output and errors of all but one, each there in time."""
        until = time.monotonic() + within
        found = []
        for process in self.processes:
            if process is not without:
                out, error = process.communicate(timeout=until - time.monotonic())
                found.append((process.returncode, out, error))
        return found


def unused_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def together(launch, tmp_path):
    """Starts a number of processes; none outlives the test."""
    with contextlib.ExitStack() as stack:

        def start(count, settings=(), name="run", **more):
            port = unused_port()
            started = Together(launch, tmp_path / name, count, port, settings, **more)
            for process in started.processes:
                stack.callback(process.communicate)  # closes its pipes
                stack.callback(process.kill)
            return started

        yield start


def kept(workdir):
    return dict(kept_states(workdir))


def losses(workdir):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def assert_same_to(rtol, ours, theirs):
    for one, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol / 10)


def test_stopped_and_killed_it_ends_as_one_process_of_four_devices(
    launch, together, lstm_run, tmp_path
):
    """Two processes: a notice to one, then each killed in turn; then one goes on.

    It goes on with two devices between, and then with data from the host.
    """
    reference, workdir = lstm_run[0], tmp_path / "run"

    both = together(2)
    both.wait_for_step(8)
    both.processes[1].send_signal(signal.SIGTERM)
    first, second = both.ends(within=SAVED)
    assert (first[0], second[0]) == (85, 85), (first, second)
    assert "preempted, saved" in first[1]
    assert second[1] == ""  # but for the first, none says or leaves anything
    (*_, stopped) = launch.logged_steps(workdir)
    assert max(launch.hashes(workdir)) == stopped  # nothing after the notice is lost
    assert json.loads((workdir / "end.json").read_text())["resumable"]

    for victim, settings, devices in (
        (1, (), 2),
        (0, ("--data.placement", "host"), 4),
    ):
        both = together(2, settings, devices=devices)
        both.wait_for_step(stopped + 4)
        dead = both.processes[victim]
        dead.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        ((code, _, error),) = both.ends(within=LOSS_IS_TOLD, without=dead)
        print(f"process {victim} killed: all over in {time.monotonic() - killed:.1f} s")
        assert code == 85, error
        assert "another process of this run has ended" in error.splitlines()[-1]
        assert "Check failure stack trace" not in error  # of jax's service
        if victim == 1:  # the first one tells it
            assert "made with other versions or devices" in error
            assert "devices 4 → 2" in error
        stopped = max(launch.logged_steps(workdir))

    before = max(launch.hashes(workdir))
    code, out, error = launch.within("train", *launch.LSTM, "--workdir", workdir)
    assert code == 0, error
    assert f"continues at step {before}" in out
    assert before >= stopped - 8
    ours, theirs = kept(workdir), kept(reference)
    assert list(ours) == list(theirs)
    assert_same_to(1e-6, ours, theirs)
    assert losses(workdir) == pytest.approx(losses(reference), rel=1e-6)


TOLD, NOT_TOLD = "told", "not told"
BUSY = """
import hashlib, os, signal, sys
from research.training import processes, stop
_, how, told = sys.argv
with stop.listening(seconds=1.0) as request, processes.joined(how, request):
    if told == "told":
        os.kill(os.getpid(), signal.SIGTERM)
    print("asked:", processes.asked(request.reason), file=sys.stderr, flush=True)
    # One call of C, as a compilation is: Python's handlers wait for its end.
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


@pytest.mark.parametrize("told", [(TOLD, NOT_TOLD), (NOT_TOLD, TOLD)])
def test_a_notice_that_one_cannot_answer_ends_all_as_resumable(told):
    """All know of it; then they are busy for longer than they have."""
    where = f"127.0.0.1:{unused_port()}"
    with contextlib.ExitStack() as stack:
        started = []
        for index, word in enumerate(told):
            command = [sys.executable, "-c", BUSY, f"{index}/2@{where}", word]
            process = subprocess.Popen(command, cwd=ROOT, stderr=-1, text=True)
            started.append(stack.enter_context(process))
            stack.callback(process.kill)
        errors = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [85, 85], errors
    assert all("asked: preempted\n" in error for error in errors), errors
    assert "no answer to the notice" in errors[told.index(TOLD)]
    assert "a notice to another process" in errors[told.index(NOT_TOLD)]


def test_one_whose_others_do_not_come_says_start_again(launch, tmp_path):
    """No mistake of the user's, upon which no scheduler would try again."""
    impatient = "from research.training import processes\nprocesses.START = 2\n"
    (tmp_path / "sitecustomize.py").write_text(impatient)
    environment = {
        supervised.VARIABLE: f"1/2@127.0.0.1:{unused_port()}",
        "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT))),
    }
    workdir = tmp_path / "run"
    command = "train", *launch.LSTM, "--workdir", workdir
    with launch.start(*command, **environment) as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode == 85, error
    assert "another process of this run" in error.splitlines()[-1]
    assert "did not come" in error
    assert not workdir.exists()


@full_form
def test_no_notice_to_any_of_two_processes_loses_a_step(launch, together, tmp_path):
    """To either or both of them, and to both while they start; it ends as undisturbed.

    One that is stopped before they have met is waited for, see `processes.START`.
    """
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"CHAOS_SEED={seed}")
    chance, workdir = random.Random(seed), tmp_path / "run"
    last = 40 * NOTICES  # a start that is told after 12 s has made some 50
    steps = ("--steps", str(last))
    saved = answered = 0
    for number in range(NOTICES):
        (workdir / "end.json").unlink(missing_ok=True)
        both = together(2, steps)
        if chance.random() < 0.2:
            both.wait_for_children()
            time.sleep(chance.uniform(3, 12))  # imports, meeting, compiling
            asked = (0, 1)
        else:
            both.wait_for_step(saved + chance.randrange(1, 20))
            asked = chance.choice([(0,), (1,), (0, 1)])
        for index in asked:
            both.processes[index].send_signal(signal.SIGTERM)
        sent = time.monotonic()
        found = both.ends(within=60.0)
        took = time.monotonic() - sent
        assert took < SAVED
        assert [code for code, *_ in found] == [85, 85], found
        if (workdir / "end.json").exists():
            saved, answered = all_is_saved(launch, workdir), answered + 1
        print(f"notice {number} to {asked} at step {saved}, over in {took:.1f} s")
    print(f"{NOTICES} notices, {answered} of them to a run that had begun")
    for name in ("run", "undisturbed"):
        for code, *told in together(2, steps, name).ends(within=600):
            assert code == 0, told
    ours, theirs = (launch.hashes(tmp_path / n) for n in ("run", "undisturbed"))
    assert ours[last] == theirs[last]
    assert losses(workdir) == losses(tmp_path / "undisturbed")
    print(f"SHA-256 {ours[last]}, as undisturbed")


def all_is_saved(launch, workdir):
    """The step that a run stopped at: the last that it has logged, and it is saved."""
    last = launch.logged_steps(workdir)[-1]
    end = json.loads((workdir / "end.json").read_text())
    assert end == {"verdict": "preempted", "step": last, "resumable": True}
    assert max(launch.hashes(workdir)) == last
    return last


@full_form
@pytest.mark.parametrize("strategy", ["pmap", "jit"])
def test_two_processes_train_a_gan_with_batch_norm_as_one(launch, together, strategy):
    """Two of two devices, one of four."""
    settings = ("--score-pictures", "0", "--steps", "12")
    settings += ("--training.strategy", strategy)
    found = []
    for count in (1, 2):
        several = together(count, settings, str(count), experiment=launch.GAN)
        for code, *told in several.ends(within=300):
            assert code == 0, told
        found.append(kept(several.workdir)[12])
    assert_same_to(1e-6, *found)


@full_form
def test_a_run_goes_on_with_any_number_of_processes(
    launch, together, lstm_run, tmp_path
):
    """Of one checkpoint: 2, 4, 1, 4, 2, 1 processes, four devices each time."""
    workdir, last = tmp_path / "run", 0
    for count in (2, 4, 1, 4, 2):
        several = together(count)
        several.wait_for_step(last + 2)
        several.processes[-1].send_signal(signal.SIGTERM)
        found = several.ends(within=SAVED)
        assert [code for code, *_ in found] == [85] * count, found
        assert f"continues at step {last}" in found[0][1] or last == 0
        last = all_is_saved(launch, workdir)
        print(f"{count} processes: saved at step {last}")
    assert last < 40
    code, out, error = launch.within("train", *launch.LSTM, "--workdir", workdir)
    assert code == 0, error
    assert f"continues at step {last}" in out
    ours, theirs = kept(workdir)[40], kept(lstm_run[0])[40]
    assert_same_to(1e-6, ours, theirs)
    assert losses(workdir) == pytest.approx(losses(lstm_run[0]), rel=1e-6)


def test_a_process_that_does_not_know_which_it_is_is_told(launch):
    with launch.start("train", *launch.LSTM, LAUNCH_DISTRIBUTED="2/2@x:1") as process:
        out, error = process.communicate(timeout=60)
    assert process.returncode == 2
    (line,) = error.splitlines()
    assert "'2/2@x:1': give slurm, tpu, or INDEX/COUNT@HOST:PORT" in line
    assert out == ""


def test_a_mistake_is_told_before_any_other_process_is_waited_for(launch):
    """By the parent: the address is nobody's."""
    wrong = {supervised.VARIABLE: "1/2@127.0.0.1:9"}
    with launch.start("train", "seed_lstm", "--steps", "x", **wrong) as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--steps" in error
