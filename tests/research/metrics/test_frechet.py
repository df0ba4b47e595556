import numpy as np
import pytest
import scipy.linalg

from research.metrics import frechet
from research.metrics.frechet import Gaussian


def draws(seed, samples=600, features=16, shift=0.0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(features, features))
    return rng.normal(size=(samples, features)) @ mixing + shift


def test_the_closed_form_of_two_diagonal_gaussians():
    left = Gaussian(np.zeros(8), np.diag(np.arange(1.0, 9.0)), 100)
    right = Gaussian(np.ones(8), np.diag(np.arange(2.0, 10.0)), 100)
    assert frechet.distance(left, right) == pytest.approx(8.546993406920834, abs=1e-12)
    assert frechet.distance(right, left) == pytest.approx(8.546993406920834, abs=1e-12)


def test_it_agrees_with_the_matrix_square_root_of_the_product():
    left, right = (frechet.gaussian(draws(s, shift=0.1 * s)) for s in (1, 2))
    root = scipy.linalg.sqrtm(left.covariance @ right.covariance)
    want = np.sum((left.mean - right.mean) ** 2) + np.trace(
        left.covariance + right.covariance - 2 * np.real(root)
    )
    assert frechet.distance(left, right) == pytest.approx(want, rel=1e-9)


def test_the_covariance_is_divided_by_samples_less_one():
    features = draws(0, samples=30, features=4)
    found = frechet.gaussian(features.astype(np.float32))
    assert found.covariance.dtype == np.float64
    np.testing.assert_allclose(found.covariance, np.cov(features.T), rtol=1e-5)


def test_a_set_is_at_distance_zero_of_itself_even_when_it_is_one_point():
    for features in (draws(0), np.ones((40, 5))):
        moments = frechet.gaussian(features)
        assert frechet.distance(moments, moments) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("samples", [3, 16])
def test_too_few_samples_are_refused(samples):
    with pytest.raises(ValueError, match=f"more than 16 samples, got {samples}"):
        frechet.gaussian(draws(0, samples=samples))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        frechet.gaussian(np.full((9, 2), np.nan))
    with pytest.raises(ValueError, match="16 and of 4 dimensions"):
        frechet.distance(
            frechet.gaussian(draws(0)), frechet.gaussian(draws(0, features=4))
        )
    with pytest.raises(ValueError, match="as many real draws"):
        frechet.measure(draws(0), draws(1), draws(2)[1:])


def test_the_floor_is_the_bias_of_two_samples_of_one_distribution():
    """Standard normals in 64 dimensions at 1,000 draws: 2.21 (an outside figure)."""
    one, two, three = (
        np.random.default_rng(seed).normal(size=(1_000, 64)) for seed in range(3)
    )
    measured = frechet.measure(one, two, three)
    assert measured.floor == pytest.approx(2.21, abs=0.15)
    assert measured.value == pytest.approx(2.21, abs=0.15)
    assert measured.samples == 1_000


def collapsed(seed):
    """One point, blurred in three directions of sixteen."""
    features = np.full((600, 16), 0.5)
    features[:, :3] += np.random.default_rng(seed).normal(size=(600, 3))
    return features


GENERATORS = {
    "shifted": lambda seed: draws(seed, shift=0.5),
    "too narrow": lambda seed: 0.6 * draws(seed),
    "collapsed": collapsed,
}


@pytest.mark.parametrize("generator", GENERATORS.values(), ids=GENERATORS)
def test_the_interval_is_as_wide_as_the_scatter_of_fresh_samples(generator):
    measured = frechet.measure(generator(0), draws(1), draws(2))
    fresh = [
        frechet.distance(
            frechet.gaussian(generator(seed)), frechet.gaussian(draws(100 + seed))
        )
        for seed in range(3, 203)
    ]
    assert measured.low is not None
    assert measured.high is not None
    assert measured.low < measured.value < measured.high
    error = (measured.high - measured.low) / (2 * 1.96)
    assert error == pytest.approx(np.std(fresh), rel=0.2)


def test_a_generator_of_one_point_has_an_interval():
    measured = frechet.measure(np.ones((600, 16)), draws(1), draws(2))
    assert measured.low is not None
    assert 0 < measured.low < measured.value
