"""What processes that leave nothing leave, however they were ended."""

import os
import tempfile
import time

import jax
import pytest

from research.training import processes
from research.training.processes import APART, FRESH, apart, clear_left


@pytest.fixture
def stdout_again():
    """Stdout, which `apart` closes for good."""
    kept = os.dup(1)
    yield
    os.dup2(kept, 1)
    os.close(kept)


def test_the_folders_of_killed_processes_are_cleared(
    tmp_path, monkeypatch, stdout_again
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, fresh, others = (tmp_path / name for name in (f"{APART}a", f"{APART}b", "c"))
    for folder in (left, fresh, others):
        folder.mkdir()
        (folder / "metrics.jsonl").write_text("")
    with apart() as mine:
        for folder in (left, mine, others):
            long_ago = folder.stat().st_mtime - FRESH - 1
            os.utime(folder, (long_ago, long_ago))
        clear_left()  # of a process that begins beside it
        assert {*tmp_path.iterdir()} == {mine, fresh, others}
    assert {*tmp_path.iterdir()} == {fresh, others}


RESET = "UNKNOWN: Gloo all-reduce failed: Read error [127.0.0.1]:4995: reset by peer"


@pytest.mark.parametrize(
    ("error", "waited"),
    [
        (jax.errors.JaxRuntimeError("INTERNAL: Connection closed by peer"), True),
        (ValueError(RESET), True),  # as CI saw it, once in many
        (ValueError("shapes (2,) and (3,) do not fit"), False),
        (KeyError("loss"), False),
    ],
)
def test_a_collective_that_fails_waits_until_it_is_known_who_is_dead(
    monkeypatch, error, waited
):
    """The process is ended then, with the code for another start; else by its error."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(type(error)), processes._losses_told():
        raise error
    assert slept == [2 * processes.HEARTBEAT] * waited
