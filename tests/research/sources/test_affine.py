import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from research.sources import affine
from research.sources.affine import Reach

STILL = jnp.zeros(2)


def smooth(seed):
    """A blurred picture, [28, 28, 2], dark near the border."""
    noise = np.random.default_rng(seed).uniform(0, 255, size=(28, 28, 2))
    noise[:6] = noise[-6:] = noise[:, :6] = noise[:, -6:] = 0
    return jnp.asarray(scipy.ndimage.gaussian_filter(noise, (1.5, 1.5, 0)), jnp.uint8)


def resampled(image, matrix, offset):
    """Channel 1 by scipy, rounded: the value at r comes from matrix @ r + offset."""
    pixels = np.asarray(image[..., 1], float)
    return np.round(scipy.ndimage.affine_transform(pixels, matrix, offset, order=1))


def test_a_whole_shift_moves_every_pixel():
    image = smooth(0)
    got = affine.moved(image, 0.0, 1.0, jnp.array([3.0, -2.0]))
    want = np.zeros(image.shape, np.uint8)
    want[3:, :-2] = image[:-3, 2:]
    np.testing.assert_array_equal(got, want)


def test_a_quarter_turn():
    image = smooth(1)
    turned = affine.moved(image, np.pi / 2, 1.0, STILL)
    np.testing.assert_allclose(turned, np.rot90(image), atol=1)


def test_a_larger_scale_is_a_larger_picture():
    image = smooth(2)
    got = affine.moved(image, 0.0, 2.0, STILL)[..., 1]
    want = resampled(image, np.eye(2) / 2, 13.5 / 2)
    np.testing.assert_allclose(got, want, atol=1)


def test_turn_scale_and_shift_together():
    image, turn, scale, shift = smooth(3), 0.2, 0.93, np.array([1.4, -0.6])
    cos, sin = np.cos(turn), np.sin(turn)
    inverse = np.array([[cos, sin], [-sin, cos]]) / scale
    want = resampled(image, inverse, 13.5 - inverse @ (13.5 + shift))
    got = affine.moved(image, turn, scale, jnp.asarray(shift))[..., 1]
    np.testing.assert_allclose(got, want, atol=1)


def test_a_picture_is_moved_by_its_own_key_only():
    images = jnp.stack([smooth(seed) for seed in range(4)])
    keys = jax.random.split(jax.random.key(0), 4)
    together = jax.jit(affine.augment)(images, keys)
    alone = affine.augment(images[2:3], keys[2:3])
    # A rounding may fall the other way where the compiler fuses differently.
    np.testing.assert_allclose(alone[0].astype(int), together[2].astype(int), atol=1)
    other = affine.augment(images[2:3], keys[3:])
    assert np.abs(other[0].astype(int) - together[2].astype(int)).max() > 20


def test_the_moves_fill_their_reach_evenly():
    images = jnp.zeros((300, 28, 28, 1), jnp.uint8).at[:, 12:16, 12:16].set(200)
    keys = jax.random.split(jax.random.key(1), 300)
    moved = np.asarray(jax.jit(affine.augment)(images, keys))[..., 0]
    centres = np.array([scipy.ndimage.center_of_mass(one) for one in moved]) - 13.5
    assert np.abs(centres).max() == pytest.approx(2, abs=0.1)
    np.testing.assert_allclose(centres.mean(axis=0), 0, atol=0.2)
    np.testing.assert_allclose(centres.std(axis=0), 2 / np.sqrt(3), rtol=0.1)
    masses = moved.sum(axis=(1, 2)) / (16 * 200)
    assert (masses.min(), masses.max()) == (
        pytest.approx(0.9**2, abs=0.03),
        pytest.approx(1.1**2, abs=0.03),
    )


def test_no_reach_leaves_the_pictures_alone():
    images = smooth(4)[None]
    keys = jax.random.split(jax.random.key(0), 1)
    got = affine.augment(images, keys, Reach(0.0, 0.0, 0.0))
    np.testing.assert_array_equal(got, images)
