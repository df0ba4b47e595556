"""Killed at random moments, a run ends as one that nobody killed, bit for bit."""

import signal
import time

import pytest

from research.training.hashing import state_hash
from research.training.record import read_json, read_metrics
from research.training.trained import kept_states

STEPS_A_KILL = 12  # that pass before a kill, at most; four saves


def hashes(workdir):
    """Kept steps and the hashes of their whole states."""
    return {step: state_hash(state) for step, state in kept_states(workdir)}


def history(workdir):
    """Every logged line, without the seconds."""
    return [
        {name: value for name, value in line.items() if name != "seconds"}
        for line in read_metrics(workdir)
    ]


def last_step(workdir):
    return max((line["step"] for line in read_metrics(workdir)), default=0)


def wait_for_a_moment(chaos, start, workdir):
    """In the start-up of one start in five, else after some steps, in mid-step."""
    began, first = time.monotonic(), last_step(workdir)
    if chaos.random.random() < 0.2:
        start.wait_for_output()
        time.sleep(chaos.random.uniform(0, 2))
        return
    steps = chaos.random.randrange(STEPS_A_KILL)
    chaos.wait_for_a_step(start, workdir, first + steps)
    print(f"step {first + steps} after {time.monotonic() - began:.1f} s", end=", ")
    time.sleep(chaos.random.uniform(0, 0.05))  # a step and a save take less


@pytest.fixture(scope="module", params=["gan", "lstm"])
def undisturbed(request, chaos, tmp_path_factory):
    """A family, its number of steps, and the workdir of a run in one go."""
    most = max(chaos.counts.kills, chaos.counts.notices)
    steps = 3 * STEPS_A_KILL * most
    workdir = tmp_path_factory.mktemp(request.param) / "undisturbed"
    start = chaos.train(request.param, steps, workdir)
    assert start.wait() == 0, start.output
    return request.param, steps, workdir


def assert_ends_the_same(chaos, family, steps, workdir, undisturbed):
    start = chaos.train(family, steps, workdir)
    assert start.wait() == 0, start.output
    assert list(hashes(workdir))[-1] == steps
    assert hashes(workdir) == hashes(undisturbed)
    assert history(workdir) == history(undisturbed)
    print(f"{family}: SHA-256 {hashes(workdir)[steps]}, as undisturbed")


def test_a_run_that_is_killed_ends_as_one_that_is_not(chaos, undisturbed, tmp_path):
    family, steps, reference = undisturbed
    halves = 0
    for number in range(chaos.counts.kills):
        start = chaos.train(family, steps, tmp_path)
        wait_for_a_moment(chaos, start, tmp_path)
        start.send(signal.SIGKILL)
        assert start.wait() == -signal.SIGKILL, start.output
        half = len(list(tmp_path.glob("checkpoints/*tmp*")))
        halves += half > 0
        print(f"kill {number} at {last_step(tmp_path)}, {half} checkpoints half there")
    print(f"{family}: {chaos.counts.kills} kills, {halves} of them within a save")
    assert halves > 0 or chaos.counts.kills < 20
    assert_ends_the_same(chaos, family, steps, tmp_path, reference)


def test_a_run_that_is_told_to_stop_loses_no_step(chaos, undisturbed, tmp_path):
    family, steps, reference = undisturbed
    longest = 0.0
    for number in range(chaos.counts.notices):
        before = last_step(tmp_path)
        start = chaos.train(family, steps, tmp_path)
        wait_for_a_moment(chaos, start, tmp_path)
        noticed = time.monotonic()
        start.send(signal.SIGTERM)
        assert start.wait() == 85, start.output
        took = time.monotonic() - noticed
        longest = max(longest, took)
        assert took < 10
        last = last_step(tmp_path)
        print(f"notice {number} at {last}, over in {took:.2f} s")
        if last > before:
            end = read_json(tmp_path / "end.json")
            assert end == {"verdict": "preempted", "step": last, "resumable": True}
            assert list(hashes(tmp_path))[-1] == last
    print(f"{family}: {chaos.counts.notices} notices, the longest {longest:.2f} s")
    start = chaos.train(family, steps, tmp_path)
    assert start.wait() == 0, start.output
    assert hashes(tmp_path)[steps] == hashes(reference)[steps]
    assert history(tmp_path) == history(reference)
