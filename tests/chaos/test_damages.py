"""Damaged checkpoint files: the best one left is taken, or none, never a wrong one."""

import shutil

import jax
import numpy as np
import pytest

from research.errors import UserError
from research.training.checkpoints import Checkpoints
from research.training.hashing import state_hash
from research.training.job import initial_state, prepare, state_like
from research.training.resuming import newest_whole


@pytest.fixture(scope="module")
def run(settings_of, tmp_path_factory):
    """A run's checkpoints: their folder, what the states look like, their hashes."""
    folder = tmp_path_factory.mktemp("damages") / "checkpoints"
    checkpoints, hashes = Checkpoints(folder), {}
    for step in (3, 6, 9):
        job = prepare("ring", settings_of("gan", seed=step))
        state = jax.tree.map(np.asarray, initial_state(job))
        assert checkpoints.save(step, state) is None
        hashes[step] = state_hash(state)
    assert checkpoints.close() is None
    return folder, state_like(job), hashes


def damage(file, other, random):
    """Cuts, empties, changes, deletes or exchanges a file; how, in a word."""
    kind = random.choice(["cut", "empty", "changed", "deleted", "exchanged"])
    content = bytearray(file.read_bytes())
    if kind == "deleted":
        file.unlink()
    elif kind == "exchanged":
        shutil.copyfile(other, file)
    elif kind == "changed" and content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        file.write_bytes(content)
    else:
        file.write_bytes(content[: random.randrange(len(content) + 1)])
    return kind


def test_the_best_checkpoint_left_is_taken_or_none(chaos, run, tmp_path, capfd):
    whole, like, hashes = run
    taken = []
    for number in range(chaos.counts.damages):
        folder = tmp_path / str(number) / "checkpoints"
        shutil.copytree(whole, folder)
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        touched = {}
        # Of one file in the newest step to files in every step.
        for _ in range(chaos.random.choice([1, 1, 2, 4, 12])):
            steps = [9, 9, 6, 3] if touched else [9]
            inside = folder / str(chaos.random.choice(steps))
            file = chaos.random.choice([f for f in files if inside in f.parents])
            if file.exists():
                there = [f for f in files if f.exists() and f != file]
                other = chaos.random.choice(there)
                name = str(file.relative_to(folder))
                touched[name] = damage(file, other, chaos.random)
        untouched = {*hashes} - {int(name.partition("/")[0]) for name in touched}
        step, found = resumed(folder, like)
        with capfd.disabled():
            print(f"damage {number}: {touched}, taken {step}")
        assert step >= max(untouched, default=0), touched
        assert found == hashes.get(step), touched
        taken.append(step)
        lines = capfd.readouterr().err
        assert "Traceback" not in lines
        # In a line for each that was set aside, the newest first.
        assert lines.count("an older one is taken") == aside(folder)
        assert aside(folder) or step == 9
    wholes, none = sum(step > 0 for step in taken), taken.count(0)
    with capfd.disabled():
        print(f"{wholes} times a whole one was taken, {none} times none was left")


def aside(folder):
    """How many damaged checkpoints were set aside."""
    return len(list(folder.with_name("checkpoints_damaged").glob("*")))


def resumed(folder, like):
    """Step and hash of what a start would go on from; 0 and None if it is refused."""
    checkpoints = Checkpoints(folder)
    try:
        found = newest_whole("chaos", [checkpoints], like)
    except UserError as refusal:
        return told(refusal)
    finally:
        checkpoints.close()
    assert found is not None
    step, (state,) = found
    return step, state_hash(state)


def told(refusal):
    """A refusal is one line that says where the damaged files are."""
    text = str(refusal)
    assert "\n" not in text
    assert "no checkpoint is left that can be read" in text
    return 0, None
