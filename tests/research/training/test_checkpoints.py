"""Checkpoints hold every bit of a state, on real folders."""

import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from research.errors import UserError
from research.training.checkpoints import Checkpoints, DamagedError
from research.training.diverged import finite
from research.training.hashing import state_hash


class State(NamedTuple):
    """Shaped as a task's: counts, nets, empty parts, None."""

    step: Any
    params: Any
    stats: Any
    optimizer: Any
    average: Any


def a_state(seed=0, average=None):
    rng = np.random.default_rng(seed)
    params = {
        "Dense_0": {
            "kernel": rng.normal(size=(3, 5)).astype(np.float32),
            "bias": np.array([0.0, -0.0, 1e-45, 3e38, 1.0], np.float32),
        },
        "half": np.asarray(jnp.bfloat16([1.5, -2.0])),
    }
    optimizer = optax.adam(1e-3).init(params)
    return State(
        np.uint32(2**24 + 1),  # no float32 holds it
        params,
        {},
        jax.tree.map(np.asarray, optimizer),
        average,
    )


def like(state):
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), state)


@pytest.fixture
def folder(tmp_path):
    opened = []

    def opens(**options):
        opened.append(Checkpoints(tmp_path / "checkpoints", **options))
        return opened[-1]

    yield opens
    for checkpoints in opened:
        checkpoints.close()


@pytest.mark.parametrize("average", [None, ({"w": np.ones(2, np.float32)}, {})])
def test_a_state_comes_back_bit_for_bit(folder, average):
    state = a_state(average=average)
    writer = folder()
    assert writer.steps() == []
    writer.save(7, state)
    writer.close()
    reader = folder()
    assert reader.steps() == [7]
    back = reader.restore(7, like(state))
    assert jax.tree.structure(back) == jax.tree.structure(state)
    pairs = zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True)
    for got, want in pairs:
        assert isinstance(got, np.ndarray | np.generic)
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        assert np.asarray(got).tobytes() == np.asarray(want).tobytes()
    assert state_hash(back) == state_hash(state)


def test_without_a_shape_the_same_numbers_come_back_as_dicts(folder):
    state = a_state()
    writer = folder()
    writer.save(7, state)
    writer.close()
    plain = folder().restore(7)
    assert plain["step"] == 2**24 + 1
    kernel = plain["params"]["Dense_0"]["kernel"]
    np.testing.assert_array_equal(kernel, state.params["Dense_0"]["kernel"])


def test_the_newest_steps_stay_in_order(folder):
    writer = folder(keep=2)
    for step in (5, 10, 15):
        writer.save(step, a_state(step))
    writer.close()
    reader = folder(keep=2)
    assert reader.steps() == [10, 15]
    for step in (10, 15):
        assert state_hash(reader.restore(step, like(a_state()))) == state_hash(
            a_state(step)
        )


def test_a_step_that_is_there_is_not_written_again(folder):
    writer = folder()
    writer.save(5, a_state(1))
    writer.close()
    again = folder()
    again.save(5, a_state(2))
    again.close()
    assert state_hash(folder().restore(5, like(a_state()))) == state_hash(a_state(1))


def test_a_save_that_was_killed_is_not_seen(folder, tmp_path):
    """Orbax writes beside and renames: what is half there has another name."""
    writer = folder()
    writer.save(5, a_state())
    writer.close()
    half = tmp_path / "checkpoints" / "10.orbax-checkpoint-tmp-0"
    half.mkdir()
    (half / "default").write_text("half a checkpoint")
    reader = folder()
    assert reader.steps() == [5]
    reader.clear_uncommitted()
    assert not half.exists()
    reader.save(10, a_state(3))
    reader.close()
    assert folder().steps() == [5, 10]


def test_a_step_before_the_newest_is_not_said_to_be_saved(folder):
    writer = folder()
    assert writer.save(10, a_state()) is None
    assert writer.save(7, a_state()) == "step 7 is before step 10, which is saved"
    assert writer.problem(wait=True) is None
    assert writer.steps() == [10]


# --- damage --------------------------------------------------------------------------


def files(folder):
    return sorted(f for f in folder.rglob("*") if f.is_file())


def damaged(path, kind, rng):
    """Cuts, changes or deletes a file."""
    content = bytearray(path.read_bytes())
    if kind == "deleted":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(content[: rng.integers(len(content) + 1)])
    elif content:
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(content)


@pytest.mark.parametrize("kind", ["cut", "changed", "deleted"])
def test_damage_is_found_or_does_no_harm(folder, tmp_path, kind):
    """Whatever happens to a file: the very numbers come back, or DamagedError."""
    state, wanted = a_state(), state_hash(a_state())
    writer = folder()
    writer.save(7, state)
    writer.close()
    step = tmp_path / "checkpoints" / "7"
    whole = tmp_path / "whole"
    shutil.copytree(step, whole)
    rng, found = np.random.default_rng(0), 0
    print("seed 0")
    reader = folder()
    for path in files(step):
        damaged(path, kind, rng)
        try:
            assert state_hash(reader.restore(7, like(state))) == wanted
        except DamagedError:
            found += 1
        shutil.rmtree(step)
        shutil.copytree(whole, step)
    assert found >= 2


def test_other_numbers_under_a_right_structure_are_damage(folder, tmp_path):
    """A whole checkpoint of another state in the place of this one."""
    writer = folder()
    writer.save(1, a_state(1))
    writer.save(2, a_state(2))
    writer.close()
    place = tmp_path / "checkpoints"
    shutil.rmtree(place / "2" / "state")
    shutil.copytree(place / "1" / "state", place / "2" / "state")
    with pytest.raises(DamagedError, match="not those that were saved"):
        folder().restore(2, like(a_state()))


def test_a_damaged_step_is_set_aside_and_not_seen(folder, tmp_path):
    writer = folder()
    for step in (1, 2):
        writer.save(step, a_state(step))
    writer.close()
    reader = folder()
    assert reader.set_aside(2) == tmp_path / "checkpoints_damaged" / "2"
    assert reader.steps() == [1]
    reader.save(2, a_state(3))
    reader.close()
    assert state_hash(folder().restore(2)) == state_hash(a_state(3))
    assert (tmp_path / "checkpoints_damaged" / "2").is_dir()


def test_a_state_of_other_code_is_refused_with_the_difference(folder):
    writer = folder()
    writer.save(7, a_state())
    writer.close()
    other = a_state()._replace(average={"w": np.ones(3, np.float32)})
    other.params["Dense_0"]["kernel"] = np.ones((3, 6), np.float32)
    with pytest.raises(UserError) as refusal:
        folder().restore(7, like(other))
    text = str(refusal.value)
    assert "average/w None → float32[3]" in text
    assert "params/Dense_0/kernel float32[3, 5] → float32[3, 6]" in text
    assert "\n" not in text


def test_a_save_that_fails_is_told_and_the_next_one_works(folder, tmp_path):
    """A file in the place of the folder: writing fails, as on a lost or full disk."""
    writer, place = folder(), tmp_path / "checkpoints"
    writer.save(1, a_state(1))
    assert writer.problem(wait=True) is None
    place.rename(tmp_path / "away")
    place.write_text("in the way")
    told = writer.save(2, a_state(2)) or writer.problem(wait=True)
    assert told
    assert "\n" not in told
    place.unlink()
    (tmp_path / "away").rename(place)
    assert writer.problem() is None
    assert writer.save(3, a_state(3)) is None
    assert writer.close() is None
    assert folder().steps() == [1, 3]
    assert state_hash(folder().restore(3)) == state_hash(a_state(3))


# --- the hash ------------------------------------------------------------------------


def test_the_hash_is_that_of_the_numbers_wherever_they_are():
    state = a_state()
    again = jax.tree.map(jnp.asarray, state)
    assert state_hash(again) == state_hash(state)
    assert len(state_hash(state)) == 64


def test_any_bit_of_any_leaf_changes_the_hash():
    state = a_state(average=({"w": np.ones(2, np.float32)}, {}))
    leaves, tree = jax.tree.flatten(state)
    seen = {state_hash(state)}
    for number, leaf in enumerate(leaves):
        raw = np.atleast_1d(np.array(leaf)).view(np.uint8).copy()
        for place in {0, raw.size - 1}:
            flipped = raw.copy()
            flipped.reshape(-1)[place] ^= 1
            changed = flipped.view(leaf.dtype).reshape(leaf.shape)
            moved = [*leaves[:number], changed, *leaves[number + 1 :]]
            digest = state_hash(jax.tree.unflatten(tree, moved))
            assert digest not in seen, (number, place)
            seen.add(digest)


def test_the_hash_knows_shape_type_and_place():
    base = {"a": np.zeros(4, np.float32), "b": np.ones(4, np.float32)}
    others = [
        {"a": np.zeros((2, 2), np.float32), "b": base["b"]},
        {"a": np.zeros(4, np.int32), "b": base["b"]},
        {"a": base["b"], "b": base["a"]},
        {"c": base["a"], "d": base["b"]},
        {"a": base["a"]},
    ]
    hashes = {state_hash(tree) for tree in [base, *others]}
    assert len(hashes) == 6


def test_zero_and_minus_zero_are_different_bits():
    assert state_hash({"a": np.float32(0.0)}) != state_hash({"a": np.float32(-0.0)})


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_state_with_one_bad_number_is_not_finite(wrong):
    state = a_state()
    assert finite(state)
    bad = jax.tree.map(np.copy, state)
    bad.params["Dense_0"]["kernel"][2, 4] = wrong
    assert not finite(bad)
