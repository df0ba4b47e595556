"""A disk that is full or read-only for a while: training goes on, the user is told.

The disks are real: a tmpfs of 8 MB that a file fills, and a read-only mount over it.
"""

import contextlib
import functools
import signal
import subprocess
import time

import numpy as np
import pytest

from research.errors import UserError
from research.training import saving
from research.training.checkpoints import Checkpoints
from research.training.files import read_metrics
from research.training.hashing import state_hash
from research.training.job import prepare
from research.training.record import Record
from research.training.stop import StartAgainError, StopRequest


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True)
    return done.stderr.decode() if done.returncode else None


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if problem := mount("-t", "tmpfs", "-o", "size=8m", "none", folder):
        pytest.skip(f"no file system can be mounted here: {problem.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def full(workdir):
    """To the last byte, as by another user's file."""
    with (workdir.parent / "filler").open("wb", buffering=0) as filler:
        with contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
        yield
        filler.truncate(0)


@contextlib.contextmanager
def read_only(workdir):
    """Nothing can be opened for writing; what is open already is as it was."""
    assert mount("--bind", workdir, workdir) is None
    assert mount("-o", "remount,bind,ro", workdir) is None
    yield
    subprocess.run(["umount", "--lazy", str(workdir)], check=True)


def wait_for(checkpoint):
    """Until it has its name: it is written beside the training, and then committed."""
    until = time.monotonic() + 60
    while not checkpoint.exists():
        assert time.monotonic() < until, checkpoint
        time.sleep(0.005)


def between(first, last, harm, then=lambda: None):
    """A record of a disk that is harmed from one logged step, after 3, to another.

    Args:
      then: called at the first of them.
    """

    class Harmed(Record):
        harmed = contextlib.ExitStack()

        def metrics(self, step, seconds, values):
            super().metrics(step, seconds, values)
            if step == first:
                wait_for(self.workdir / "checkpoints" / "3")
                self.harmed.enter_context(harm(self.workdir))
                then()
            if step == last:
                self.harmed.close()

        def close(self):
            super().close()
            self.harmed.close()

    return Harmed


@pytest.fixture
def job(twelve_steps, monkeypatch):
    monkeypatch.setattr(saving, "RETRY_SECONDS", 0.0)
    return prepare("small", twelve_steps)


@pytest.mark.parametrize("harm", [full, read_only])
def test_training_goes_on_and_saves_as_soon_as_it_can(
    job, trained, disk, tmp_path, capfd, harm
):
    outcome = trained(job, disk / "run", between(4, 8, harm))
    assert (outcome.verdict, outcome.step) == ("done", 12)
    told = [line for line in capfd.readouterr().out.splitlines() if "saved" in line]
    reason = {full: "[Errno 28] No space left", read_only: "[Errno 30] Read-only"}[harm]
    assert told[0].startswith(
        f"a checkpoint could not be saved, training goes on: {reason}"
    )
    assert told[1:] == ["checkpoints are saved again"]
    found = Checkpoints(disk / "run" / "checkpoints")
    assert found.steps() == [6, 9, 12]  # the first as late as 8
    undisturbed = trained(job, tmp_path / "undisturbed")
    assert state_hash(found.restore(12)) == state_hash(undisturbed.state)
    ours, theirs = (read_metrics(p) for p in (disk / "run", tmp_path / "undisturbed"))
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]


@pytest.mark.parametrize("harm", [full, read_only])
def test_a_run_that_cannot_be_saved_at_its_end_says_what_is(job, trained, disk, harm):
    with pytest.raises(UserError) as refusal:
        trained(job, disk / "run", between(4, 99, harm))
    text = str(refusal.value)
    assert "step 12 cannot be saved; saved is 3" in text
    assert Checkpoints(disk / "run" / "checkpoints").steps() == [3]


def test_a_notice_on_a_full_disk_still_means_start_again(job, trained, disk):
    stop = StopRequest()
    notice = functools.partial(stop.handle, signal.SIGTERM, None)
    with pytest.raises(StartAgainError, match="saved is 3") as told:
        trained(job, disk / "run", between(4, 99, full, notice), stop)
    assert told.value.exit_code == 85


def test_a_step_that_cannot_be_kept_for_replay_is_told_and_leaves_nothing(disk):
    record = Record(disk / "run", {"config": {}})
    with full(disk / "run"):
        noise = np.random.default_rng(0).normal(size=10**5)
        problem = record.not_finite(5, {"w": noise}, {}, 0)
    record.close()
    assert "No space left" in str(problem)
    assert list((disk / "run").glob("not_finite/*")) == []


@pytest.mark.parametrize("harm", [full, read_only])
def test_a_start_on_such_a_disk_is_refused_in_a_line(disk, harm):
    """Its end, too, is written by what is refused here."""
    workdir = disk / "run"
    record = Record(workdir, {"config": {}})
    record.rewind(0)
    record.metrics(3, 1.0, {"loss": 0.5})
    with harm(workdir), pytest.raises(UserError, match="cannot be written") as refusal:
        record.rewind(3)
    assert "\n" not in str(refusal.value)
    with harm(workdir), pytest.raises(UserError, match=r"end\.json cannot be written"):
        record.ended("done", 3)
    record.close()
    assert [line["step"] for line in read_metrics(workdir)] == [3]
