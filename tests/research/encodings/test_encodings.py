"""Rows and pictures as inputs, and what holds for every encoding found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import parts
from research.encodings import pictures, rows

PICTURES = 4


def batch_of(channels):
    rng = np.random.default_rng(channels)
    return {
        "image": jnp.uint8(rng.integers(0, 256, (PICTURES, 28, 28, channels))),
        "label": jnp.array([3, 1, 4, 9], jnp.int32),
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_a_step_is_a_row_and_every_step_has_the_label(channels):
    batch = batch_of(channels)
    inputs, targets = rows.encode(batch, None)
    assert inputs.shape == (PICTURES, 28, 28 * channels)
    pixel = np.asarray(batch["image"])[2, 5, 7] / 255
    got = inputs[2, 5, 7 * channels : 8 * channels]
    np.testing.assert_allclose(got, pixel, rtol=1e-6)
    want = np.float64(batch["image"]).reshape(PICTURES, 28, -1) / 255
    np.testing.assert_allclose(inputs, want, rtol=1e-6)
    np.testing.assert_array_equal(targets, np.repeat([[3], [1], [4], [9]], 28, 1))


def test_a_picture_is_only_moved_in_training():
    batch = batch_of(1)
    inputs, targets = pictures.encode(batch, None)
    np.testing.assert_allclose(inputs, np.float64(batch["image"]) / 255, rtol=1e-6)
    np.testing.assert_array_equal(targets, [3, 1, 4, 9])
    keys = jax.random.split(jax.random.key(0), PICTURES)
    encode = jax.jit(pictures.encode)
    moved, same_targets = encode(batch, keys)
    np.testing.assert_array_equal(same_targets, targets)
    assert moved.shape == inputs.shape
    assert all(jnp.abs(moved - inputs).max((1, 2, 3)) > 0.05)
    # Each by its own key, whatever its neighbours.
    reverse = jax.tree.map(lambda a: a[::-1], batch)
    np.testing.assert_array_equal(encode(reverse, keys[::-1])[0][::-1], moved)


@pytest.mark.parametrize("name", parts.names("research.encodings"))
def test_every_encoding_keeps_the_batch_first_and_counts_classes(name):
    encoding = parts.find("research.encodings", name)
    batch = batch_of(3) | {
        "frames": jnp.zeros((PICTURES, 5, 3)),
        "tokens": jnp.zeros((PICTURES, 12), jnp.int32),
        "lengths": jnp.array([5, 4, 3, 0], jnp.int32),
    }  # whatever entry of research.data it reads
    inputs, targets = jax.eval_shape(lambda b: encoding.encode(b, None), batch)
    inputs = jax.tree.leaves(inputs)  # one array, or a source and what was written
    assert all(leaf.shape[0] == PICTURES for leaf in (*inputs, targets))
    assert all(leaf.dtype in (jnp.float32, jnp.int32) for leaf in inputs)
    real = getattr(encoding, "OUTCOME", "symbols") in ("numbers", "vectors")
    assert targets.dtype == (jnp.float32 if real else jnp.int32)
    assert hasattr(encoding, "draw") or not hasattr(encoding, "as_drawn")
