"""What D is shown: packs, noise and augmentations."""

import jax
import jax.numpy as jnp
import numpy as np

from research.augmentations import translation
from research.gan.view import View

KEYS = jax.random.split(jax.random.key(1), 6)
STEP = jnp.uint32(0)


def test_a_pack_of_pictures_is_one_of_their_channels_in_turn():
    pictures = jnp.arange(6 * 2 * 2 * 3.0).reshape(6, 2, 2, 3)
    packed = View(packing=3)(pictures, KEYS, STEP)
    want = [np.concatenate(list(pictures[i : i + 3]), axis=-1) for i in (0, 3)]
    np.testing.assert_array_equal(packed, want)


def test_a_pack_of_points_is_one_of_their_coordinates_in_turn():
    points = jnp.arange(12.0).reshape(6, 2)
    packed = View(packing=2)(points, KEYS, STEP)
    np.testing.assert_array_equal(packed, np.arange(12.0).reshape(3, 4))


def test_without_remedies_it_shows_the_samples_themselves():
    points = jnp.arange(12.0).reshape(6, 2)
    assert View()(points, KEYS, STEP) is points


def test_noise_falls_on_a_line_and_stays_at_0():
    view = View(noise=0.8, noise_steps=200)
    steps = jnp.uint32([0, 50, 100, 200, 1000])
    np.testing.assert_allclose(view.deviation(steps), [0.8, 0.6, 0.4, 0, 0], atol=1e-6)
    nothing = jnp.zeros((6, 20_000))
    noise = view(nothing, KEYS, steps[1])
    np.testing.assert_allclose(noise.std(axis=1), 0.6, rtol=0.03)
    assert abs(float(jnp.corrcoef(noise)[0, 1])) < 0.03  # samples have their own


def test_each_augmentation_of_a_list_draws_by_itself():
    """Twice the same one moves further than once can."""
    dot = jnp.zeros((64, 16, 16, 1)).at[:, 8, 8].set(1.0)
    keys = jax.random.split(jax.random.key(2), 64)
    view = View(augmentations=(translation.augment, translation.augment))
    place = np.argwhere(np.asarray(view(dot, keys, STEP)[..., 0]))[:, 1:] - 8
    assert np.abs(place).max() in (3, 4)
    assert (np.abs(place) % 2 == 1).any()  # else both would be the same move
