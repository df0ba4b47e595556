"""Checkpoints hold every bit of a state, on real folders."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from research.training.checkpoints import Checkpoints
from research.training.hashing import state_hash
from research.training.loop import finite


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
    reader.save(10, a_state(3))
    reader.close()
    assert folder().steps() == [5, 10]


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
