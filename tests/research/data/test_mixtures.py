"""The ring and the grid against their published constants and the normal law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from research.data import grid, ring
from research.errors import UserError

DRAWS = 20_000


def drawn(part, split="train", seed=0, start=0, count=DRAWS):
    positions = jnp.arange(start, start + count, dtype=jnp.uint32)
    found = jax.jit(part.batch)(part.load(split).arrays, jnp.uint32(seed), positions)
    return np.asarray(found["point"]), np.asarray(found["label"])


def test_the_constants_are_the_published_ones():
    """PacGAN, section 4.1: radius 1 and σ 0.01; means {−4, −2, 0, 2, 4}² and σ 0.05."""
    assert (len(ring.MODES), ring.SIGMA) == (8, 0.01)
    np.testing.assert_allclose(np.linalg.norm(ring.MODES, axis=1), 1, rtol=1e-6)
    steps = np.diff(np.unwrap(np.arctan2(*ring.MODES.T[::-1])))
    np.testing.assert_allclose(steps, 2 * np.pi / 8, rtol=1e-5)
    assert (len(grid.MODES), grid.SIGMA) == (25, 0.05)
    want = {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert {tuple(mode) for mode in grid.MODES.tolist()} == want


@pytest.mark.parametrize("part", [ring, grid])
def test_points_are_normal_about_modes_that_are_equally_likely(part):
    points, labels = drawn(part)
    assert points.dtype == np.float32
    counts = np.bincount(labels, minlength=part.LABELS)
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
    scaled = ((points - part.MODES[labels]) / part.SIGMA).astype(float)
    for axis in scaled.T:
        assert scipy.stats.kstest(axis, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(scaled.T)[0, 1]) < 4 / DRAWS**0.5
    # Neighbours in training are independent: labels and offsets alike.
    assert abs(np.corrcoef(labels[1:], labels[:-1])[0, 1]) < 4 / DRAWS**0.5
    assert abs(np.corrcoef(scaled[1:, 0], scaled[:-1, 0])[0, 1]) < 4 / DRAWS**0.5


def test_no_point_comes_twice_nor_in_both_splits_nor_under_two_seeds():
    epoch = grid.load("train").examples
    draws = [
        drawn(grid, count=500)[0],
        drawn(grid, start=epoch, count=500)[0],
        drawn(grid, "test", count=500)[0],
        drawn(grid, seed=1, count=500)[0],
    ]
    assert len(np.unique(np.concatenate(draws), axis=0)) == 2_000


def test_a_point_depends_on_its_position_alone():
    whole, _ = drawn(ring, count=64)
    part, _ = drawn(ring, start=16, count=16)
    np.testing.assert_array_equal(part, whole[16:32])


@pytest.mark.parametrize("part", [ring, grid])
def test_splits_have_their_own_fingerprints_and_others_are_refused(part):
    assert part.load("train").fingerprint != part.load("test").fingerprint
    with pytest.raises(UserError, match="has no split 'valid': 'train' or 'test'"):
        part.load("valid")
