"""The transform's matrices in float64, and when it is chosen."""

import jax.numpy as jnp
import numpy as np
import pytest

from kernels.conv_transpose import reference, spectral


@pytest.mark.parametrize("taps", [(5, 5), (4, 3), (1, 2)], ids=str)
@pytest.mark.parametrize("size", [(7, 7), (4, 6), (1, 5), (16, 16)], ids=str)
def test_the_three_matrices_are_a_same_convolution(size, taps):
    print("seed 0")
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=size), random.normal(size=taps)
    matrices = spectral.transform(size, taps)
    product = (matrices.points @ x.ravel()) * (matrices.taps @ kernel.ravel())
    got = (matrices.back @ product).reshape(size)
    before = [(k - 1) // 2 for k in taps]
    padded = np.pad(x, [(b, k) for b, k in zip(before, taps, strict=True)])
    want = np.zeros(size)
    for i, j in np.ndindex(*taps):
        want += kernel[i, j] * padded[i : i + size[0], j : j + size[1]]
    np.testing.assert_allclose(got, want, atol=3e-6 * np.abs(want).max())


def test_the_frequencies_are_as_few_as_the_torus_allows():
    assert spectral.transform((7, 7), (5, 5)).points.shape == (121, 49)


def test_the_gain_counts_the_taps_inside_the_picture():
    """841 taps against 121 frequencies; with few channels the transforms outweigh."""
    many = spectral.gain(10**6, (7, 7), (5, 5), (10**6, 10**6))
    assert many == pytest.approx(841 / 121, rel=0.01)
    assert spectral.gain(64, (7, 7), (5, 5), (256, 128)) > 3
    assert spectral.gain(8, (7, 7), (5, 5), (3, 3)) < 1


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 4, 7, 28])
def test_the_taps_inside_are_those_that_a_sum_of_ones_counts(size, stride):
    ones = jnp.ones((1, size, size, 1)), jnp.ones((5, 5, 1, 1))
    counted = reference.conv(*ones, (stride, stride)).sum()
    assert spectral.inside((size, size), (5, 5), (stride, stride)) == counted
