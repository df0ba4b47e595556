import itertools

import numpy as np
import pytest

from research.metrics import neighbours


def normal(seed, samples=1_000, features=4, shift=0.0, scale=1.0):
    drawn = np.random.default_rng(seed).normal(size=(samples, features))
    return scale * drawn + shift


def by_hand(generated, reference):
    """The definitions of Kynkäänniemi 2019 and Naeem 2020, sample by sample."""

    def radius(samples, i, k):
        apart = [
            np.linalg.norm(samples[i] - samples[j])
            for j in range(len(samples))
            if j != i
        ]
        return sorted(apart)[k - 1]

    def inside(point, samples, k):
        return [
            np.linalg.norm(point - samples[i]) <= radius(samples, i, k)
            for i in range(len(samples))
        ]

    dense = np.array([inside(point, reference, 5) for point in generated])
    return {
        "precision": np.mean([any(inside(p, reference, 3)) for p in generated]),
        "recall": np.mean([any(inside(p, generated, 3)) for p in reference]),
        "density": dense.sum() / (5 * len(generated)),
        "coverage": np.mean(dense.any(axis=0)),
    }


def test_the_numbers_are_those_of_the_definitions():
    generated, reference = normal(0, 25, 3, scale=0.8), normal(1, 30, 3)
    found = neighbours.numbers(generated, reference)
    for name, want in by_hand(generated, reference).items():
        assert found[name] == pytest.approx(want), name


def test_coverage_and_density_of_one_distribution_have_closed_forms():
    """Naeem 2020, lemma 2, at N = M = 60 and k = 5, over 120 draws."""
    draws = [
        neighbours.numbers(normal(2 * i, 60), normal(2 * i + 1, 60)) for i in range(120)
    ]
    n, k = 60, 5
    want = 1 - np.prod([(n - j) / (2 * n - j) for j in range(1, k + 1)])
    for name, mean in (("coverage", want), ("density", 1.0)):
        values = np.array([one[name] for one in draws])
        error = values.std() / len(values) ** 0.5
        assert values.mean() == pytest.approx(mean, abs=4 * error), name


def test_each_number_falls_for_its_own_fault():
    reference, again = normal(1), normal(2)
    honest, narrow, wide, off, collapsed = (
        neighbours.measure(one, reference, again)
        for one in (
            normal(3),
            normal(3, scale=0.4),
            normal(3, scale=2.5),
            normal(3, shift=9),
            np.ones((1_000, 4)) * normal(1)[0],
        )
    )
    for name, one in honest.items():
        assert one.low <= one.floor <= one.high, name
        assert off[name].value == 0
        assert off[name].floor == one.floor
    # Too narrow: every sample is among the real ones, most of them are not reached.
    assert narrow["precision"].value > 0.98
    assert narrow["recall"].high < 0.7 * honest["recall"].low
    assert narrow["coverage"].high < 0.9 * honest["coverage"].low
    # Too wide: the other way round.
    assert wide["precision"].high < 0.6 * honest["precision"].low
    assert wide["density"].high < 0.6 * honest["density"].low
    assert wide["recall"].value > 0.9
    assert collapsed["precision"].value == 1
    assert collapsed["recall"].value < 0.01
    assert collapsed["coverage"].value < 0.02


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_the_intervals_are_no_narrower_than_the_scatter_of_fresh_samples(scale):
    """Nor more than twice as wide, on average over 8 measurements."""
    fresh = [
        neighbours.numbers(normal(2 * i, 200, scale=scale), normal(2 * i + 1, 200))
        for i in range(500, 580)
    ]
    found = [
        neighbours.measure(
            normal(3 * i, 200, scale=scale), normal(3 * i + 1, 200), normal(i, 200)
        )
        for i in range(8)
    ]
    for name in neighbours.BALL:
        errors = [(one[name].high - one[name].low) / (2 * 2.093) for one in found]
        scatter = np.std([one[name] for one in fresh])
        assert 0.85 * scatter < np.mean(errors) < 2.2 * scatter, name


def test_the_interval_is_a_jackknife_over_twenty_groups_by_students_t():
    """Miller 1974: 19 degrees of freedom, so t is 2.093."""
    model, real = normal(0, 200, scale=0.6), normal(1, 200)
    groups = np.arange(200) % 20
    without = [
        neighbours.numbers(model[groups != g], real[groups != g]) for g in range(20)
    ]
    found = neighbours.measure(model, real, normal(2, 200))
    for name in ("recall", "coverage"):
        error = (19 * np.var([one[name] for one in without])) ** 0.5
        half = (found[name].high - found[name].low) / 2
        assert half == pytest.approx(2.093 * error, rel=1e-3), name


def test_a_far_outlier_lifts_precision_and_not_density():
    """Naeem 2020, section 3: one real outlier's ball covers what lies about it."""
    reference = np.concatenate([normal(1, 999), np.full((1, 4), 30.0)])
    strays = np.concatenate([normal(3, 900), 15 + normal(4, 100)])
    found = neighbours.numbers(strays, reference)
    assert found["precision"] > 0.95
    assert found["density"] < 0.95


def test_squares_are_the_squared_differences():
    left, right = 1e3 + normal(0, 5), 1e3 + normal(1, 6)
    want = [[np.sum((a - b) ** 2) for b in right] for a in left]
    np.testing.assert_allclose(neighbours.squares(left, right), want, rtol=1e-9)


def test_too_few_and_broken_samples_are_refused():
    with pytest.raises(ValueError, match="100 samples or more of each set, got 99"):
        neighbours.measure(normal(0, 99), normal(1), normal(2))
    broken = normal(0)
    broken[3, 1] = np.inf
    for sets in itertools.permutations([broken, normal(1), normal(2)]):
        with pytest.raises(ValueError, match="NaN or an infinity"):
            neighbours.measure(*sets)
