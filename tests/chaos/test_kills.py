"""Killed and stopped at random moments, a run ends as one left alone, bit for bit."""

import signal
import time

import pytest

from research.training.files import read_json, read_metrics
from research.training.hashing import state_hash
from research.training.trained import kept_states

STEPS_A_START = 12  # that pass before a signal, at most; four saves


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
    steps = chaos.random.randrange(STEPS_A_START)
    chaos.wait_for_a_step(start, workdir, first + steps)
    print(f"step {first + steps} after {time.monotonic() - began:.1f} s", end=", ")
    time.sleep(chaos.random.uniform(0, 0.05))  # a step and a save take less


@pytest.mark.parametrize("family", ["gan", "lstm"])
def test_a_run_that_is_disturbed_ends_as_one_that_is_not(chaos, family, tmp_path):
    """It is killed and told to stop in any order, and no notice loses a step.

    Ctrl-C comes twice: the second ends a save or a step, and that in a line.
    """
    kills, notices = chaos.counts.kills, chaos.counts.notices
    order = [signal.SIGKILL] * kills + [signal.SIGTERM] * notices
    order += [signal.SIGINT] * chaos.counts.interrupts
    chaos.random.shuffle(order)
    steps, workdir = 2 * STEPS_A_START * len(order), tmp_path / "disturbed"
    halves, answers = 0, []
    for place, number in enumerate(order):
        (workdir / "end.json").unlink(missing_ok=True)
        start = chaos.train(family, steps, workdir)
        wait_for_a_moment(chaos, start, workdir)
        sent = time.monotonic()
        start.send(number)
        if number == signal.SIGINT:
            time.sleep(chaos.random.choice([0, 0.01, 0.05, 0.1]))
            start.send(number)
        code, took = start.wait(), time.monotonic() - sent
        print(f"{place}: {number.name} at {last_step(workdir)}, over in {took:.2f} s")
        if number == signal.SIGKILL:
            assert code == -signal.SIGKILL, start.output
            halves += any(workdir.glob("checkpoints/*tmp*"))
        elif number == signal.SIGINT:
            assert code == 130, start.output
            assert "Traceback" not in start.output
            assert "Warning" not in start.output
        else:
            assert code == 85, start.output
            assert took < 10
            answers += [took] * all_is_saved(workdir)
    slowest = max(answers, default=0)
    print(
        f"{family}: {kills} kills, {halves} of them within a save; {notices} notices, "
        f"{len(answers)} to a run that had begun, over in {slowest:.2f} s"
    )
    assert halves > 0 or kills < 20
    assert answers or notices < 20
    assert_ends_as_undisturbed(chaos, family, steps, workdir)


def all_is_saved(workdir):
    """Whether a notice found a run; then it has saved the step that it stopped at."""
    if not (workdir / "end.json").exists():
        return False
    last = last_step(workdir)
    end = read_json(workdir / "end.json")
    assert end == {"verdict": "preempted", "step": last, "resumable": True}
    assert max(hashes(workdir), default=0) == last
    return True


def assert_ends_as_undisturbed(chaos, family, steps, workdir):
    undisturbed = workdir.with_name("undisturbed")
    for folder in (workdir, undisturbed):
        start = chaos.train(family, steps, folder)
        assert start.wait() == 0, start.output
    ours, theirs = hashes(workdir), hashes(undisturbed)
    assert ours[steps] == theirs[steps]
    assert history(workdir) == history(undisturbed)
    print(f"{family}: SHA-256 {ours[steps]} of step {steps}, as undisturbed")
