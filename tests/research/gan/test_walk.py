"""Ways between noise vectors, and the samples along them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.data import stacked_digits
from research.evaluation import sample_keys
from research.gan.walk import between
from research.models import seed_pair
from research.optimizers import Optimizer
from research.tasks.gan import Gan


def test_a_quarter_circle_is_walked_evenly():
    x, y = jnp.array([[3.0, 0, 0]]), jnp.array([[0, 3.0, 0]])
    angles = np.pi / 2 * np.arange(7) / 6
    want = 3 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    np.testing.assert_allclose(between(x, y, 7)[0], want, atol=1e-5)


@pytest.mark.parametrize("second", ["other", "same", "opposite"])
def test_both_ends_are_the_vectors_and_the_length_is_kept(second):
    first = jax.random.normal(jax.random.key(0), (5, 64))
    others = {"other": first[::-1], "same": first, "opposite": -first}
    ways = between(first, others[second], 9)
    assert ways.shape == (5, 9, 64)
    np.testing.assert_array_equal(ways[:, 0], first)
    np.testing.assert_array_equal(ways[:, -1], others[second])
    assert np.isfinite(ways).all()
    if second == "other":
        # On the straight line the middle would be shorter by 1/√2.
        lengths = np.linalg.norm(ways, axis=-1)
        assert lengths.min() > 0.9 * lengths[:, [0, -1]].min()


def test_the_ends_of_a_way_are_the_samples_of_their_own_noise():
    task = Gan().build(seed_pair.Model(width=4), Optimizer(), steps=10)
    image = jnp.zeros((2, *stacked_digits.IMAGE_SHAPE), jnp.uint8)
    state = jax.jit(task.init)(jax.random.key(0), {"image": image})
    keys = sample_keys(3, 4)
    drawn = np.asarray(task.draw(state, keys), int)
    ways = np.asarray(task.walk(state, keys, 5), int)
    assert ways.shape == (3, 5, *stacked_digits.IMAGE_SHAPE)
    # In another batch a convolution may round its sums to the neighbouring byte.
    assert np.abs(ways[:, 0] - drawn[:-1]).max() <= 1
    assert np.abs(ways[:, -1] - drawn[1:]).max() <= 1
    assert np.abs(ways[:, 2] - drawn[:-1]).max() > 1
