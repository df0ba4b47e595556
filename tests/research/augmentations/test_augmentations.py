"""Augmentations: what each changes, by hand, and what holds for all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import parts

NAMES = parts.names("research.augmentations")
KEYS = jax.random.split(jax.random.key(4), 200)
PICTURE = np.random.default_rng(2).uniform(-1, 1, (8, 16, 3)).astype(np.float32)


def augmented(name, picture=PICTURE, keys=KEYS):
    augment = parts.find("research.augmentations", name).augment
    return np.asarray(jax.vmap(augment, (0, None))(keys, jnp.asarray(picture)))


def test_color_is_brightness_then_saturation_then_contrast():
    """Recovered from the picture: its mean, its greys and its colours."""
    found = np.float64(augmented("color"))
    x = np.float64(PICTURE)
    shift = found.mean((1, 2, 3)) - x.mean()
    assert np.abs(shift).max() <= 0.5 + 1e-6
    assert np.ptp(shift) > 0.8
    greys, before = found.mean(-1), x.mean(-1)
    contrast = greys.std((1, 2)) / before.std()
    assert contrast.min() >= 0.5 - 1e-5
    assert contrast.max() <= 1.5 + 1e-5
    assert np.ptp(contrast) > 0.8
    colours = (found - greys[..., None]).std((1, 2, 3)) / (x - before[..., None]).std()
    saturation = colours / contrast
    assert saturation.max() <= 2 + 1e-4
    assert np.ptp(saturation) > 1.6
    want = (x - before[..., None]) * (saturation * contrast)[:, None, None, None]
    np.testing.assert_allclose(found - greys[..., None], want, atol=1e-4)


def test_translation_moves_by_at_most_an_eighth_and_fills_with_grey():
    """1 of 8 rows, 2 of 16 columns: 3 × 5 places, all of which occur."""
    found = augmented("translation")
    places = {}
    for down in (-1, 0, 1):
        for across in (-2, -1, 0, 1, 2):
            moved = np.zeros_like(PICTURE)
            rows = slice(max(0, down), 8 + min(0, down))
            columns = slice(max(0, across), 16 + min(0, across))
            from_rows = slice(max(0, -down), 8 + min(0, -down))
            from_columns = slice(max(0, -across), 16 + min(0, -across))
            moved[rows, columns] = PICTURE[from_rows, from_columns]
            places[moved.tobytes()] = (down, across)
    seen = {places[picture.tobytes()] for picture in found}
    assert len(seen) == 15


def test_cutout_blanks_a_rectangle_of_half_the_sides():
    found = augmented("cutout")
    for picture in found:
        blank = (picture == 0).all(-1)
        np.testing.assert_array_equal(picture[~blank], PICTURE[~blank])
        rows, columns = blank.any(1).sum(), blank.any(0).sum()
        assert blank.sum() == rows * columns  # one rectangle
        assert 2 <= rows <= 4
        assert 4 <= columns <= 8
    assert max((p == 0).all(-1).sum() for p in found) == 32


@pytest.mark.parametrize("name", NAMES)
class TestEveryAugmentation:
    def test_keeps_shape_and_dtype_and_depends_on_its_key(self, name):
        found = augmented(name)
        assert found.shape == (len(KEYS), *PICTURE.shape)
        assert found.dtype == np.float32
        assert len({picture.tobytes() for picture in found}) > 5
        np.testing.assert_array_equal(found, augmented(name))

    def test_lets_gradients_through(self, name):
        """Against a central difference in a direction, at one key."""
        augment = parts.find("research.augmentations", name).augment
        rng = np.random.default_rng(7)
        weights, direction = rng.normal(size=(2, *PICTURE.shape)).astype(np.float32)

        def value(x):
            return jnp.sum(jnp.asarray(weights) * augment(KEYS[0], x))

        slope = jax.grad(value)(jnp.asarray(PICTURE))
        sides = [float(value(PICTURE + sign * 0.1 * direction)) for sign in (1, -1)]
        want = (sides[0] - sides[1]) / 0.2
        np.testing.assert_allclose(jnp.sum(slope * direction), want, rtol=1e-3)
