import numpy as np
import pytest

from research.metrics import kernel_distance


def normal(seed, samples=300, features=8, shift=0.0, scale=1.0):
    drawn = np.random.default_rng(seed).normal(size=(samples, features))
    return scale * drawn + shift


def by_hand(left, right):
    """The U-statistic as Gretton 2012 (lemma 6) writes it, pair by pair."""

    def kernel(a, b):
        return (sum(x * y for x, y in zip(a, b, strict=True)) / len(a) + 1) ** 3

    def within(one):
        pairs = [(i, j) for i in range(len(one)) for j in range(len(one)) if i != j]
        return sum(kernel(one[i], one[j]) for i, j in pairs) / len(pairs)

    across = [kernel(a, b) for a in left for b in right]
    return within(left) + within(right) - 2 * sum(across) / len(across)


def test_it_is_the_sum_over_pairs():
    left, right = normal(0, 7, 3), normal(1, 5, 3, shift=1)
    want = by_hand(left.tolist(), right.tolist())
    assert kernel_distance.squared(left, right) == pytest.approx(want, rel=1e-12)


def test_the_closed_form_of_two_points():
    """All of one set at a, of the other at b: k(a, a) + k(b, b) − 2 k(a, b)."""
    left, right = np.full((20, 4), 1.0), np.full((30, 4), 2.0)
    want = (1 + 1) ** 3 + (4 + 1) ** 3 - 2 * (2 + 1) ** 3
    assert kernel_distance.squared(left, right) == pytest.approx(want, rel=1e-12)


def test_it_is_unbiased_where_the_frechet_distance_is_not():
    """Samples of one distribution: the mean over draws is 0, at 20 samples already."""
    values = [
        kernel_distance.squared(normal(2 * i, 20), normal(2 * i + 1, 20))
        for i in range(400)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / 20
    assert min(values) < 0
    assert 0.3 < np.mean(np.array(values) < 0) < 0.8


def test_a_worse_set_is_further_and_real_data_lie_about_zero():
    reference, again = normal(1, 2_500), normal(2, 2_500)
    honest, near, far = (
        kernel_distance.measure(one, reference, again)
        for one in (normal(3, 2_500), normal(3, 2_500, shift=0.3), normal(3, shift=1))
    )
    assert honest.low < 0 < honest.high
    assert honest.high < near.low < near.high < far.low
    assert abs(near.floor) < near.low


def test_the_interval_is_as_wide_as_the_scatter_of_fresh_samples():
    """Over 30 draws the mean estimated error is the true one."""
    found = [
        kernel_distance.measure(
            normal(3 * i, 300, shift=0.3),
            normal(3 * i + 1, 300),
            normal(3 * i + 2, 300),
        )
        for i in range(30)
    ]
    errors = [(one.high - one.low) / (2 * 2.262) for one in found]
    assert np.mean(errors) == pytest.approx(
        np.std([one.value for one in found]), rel=0.35
    )


def test_the_interval_holds_the_true_distance_nineteen_times_of_twenty():
    """Also of two subsets: their spread is one degree of freedom, t is 12.7."""
    found = [
        kernel_distance.measure(
            normal(3 * i, 40, 4, shift=0.5),
            normal(3 * i + 1, 40, 4),
            normal(3 * i + 2, 40, 4),
            subsets=2,
        )
        for i in range(300)
    ]
    truth = np.mean([one.value for one in found])  # it is unbiased
    inside = np.mean([one.low < truth < one.high for one in found])
    assert inside == pytest.approx(0.95, abs=0.03)


def test_what_cannot_be_compared_is_refused():
    one = normal(0)
    with pytest.raises(ValueError, match="different dimensions"):
        kernel_distance.measure(one, normal(1, features=4), one)
    with pytest.raises(ValueError, match="4 samples or more"):
        kernel_distance.measure(one[:3], one, one)
    with pytest.raises(ValueError, match="NaN"):
        kernel_distance.measure(np.full((9, 2), np.nan), *np.zeros((2, 9, 2)))
    with pytest.raises(ValueError, match=r"\[samples, features\]"):
        kernel_distance.measure(one[0], one, one)
