import numpy as np
import pytest
import scipy.stats

from research.metrics import memorisation


def normal(seed, samples=500, features=6):
    return np.random.default_rng(seed).normal(size=(samples, features))


TRAINING, HELD_OUT = normal(0), normal(1)


def measured(generated):
    return memorisation.measure(generated, HELD_OUT, TRAINING)


def test_the_nearest_is_the_nearest_and_a_copy_is_at_zero():
    samples = np.concatenate([TRAINING[[7, 3]], normal(2, 40)]).astype(np.float32)
    training = TRAINING.astype(np.float32)
    found = memorisation.nearest(samples, training)
    apart = np.linalg.norm(samples[:, None].astype(float) - training, axis=-1)
    np.testing.assert_array_equal(found.place, apart.argmin(axis=1))
    np.testing.assert_allclose(found.distance, apart.min(axis=1), rtol=1e-9)
    assert found.place[:2].tolist() == [7, 3]
    assert found.distance[:2].tolist() == [0, 0]


def test_an_honest_generator_is_told_from_one_that_copies():
    honest = measured(normal(3))["copying"]
    copies = measured(TRAINING)["copying"]
    blurred = measured(TRAINING + 0.1 * normal(4))["copying"]
    half = measured(np.concatenate([TRAINING[:250], normal(3, 250)]))["copying"]
    noise = measured(5 * normal(5))["copying"]
    assert honest.low < 0.5 < honest.high
    assert copies.value == 1
    assert blurred.low > 0.9
    assert half.low > 0.65
    assert noise.high < 0.2
    for one in (honest, copies, noise):
        assert one.floor == pytest.approx(0.5, abs=0.1)


def test_distances_stand_beside_those_of_held_out_samples():
    found = measured(TRAINING)["nearest_training"]
    assert (found.value, found.low, found.high) == (0, 0, 0)
    honest = measured(normal(3))["nearest_training"]
    assert honest.low < honest.floor < honest.high
    assert measured(5 * normal(5))["nearest_training"].low > 2 * honest.high


def test_the_statistic_and_its_error():
    """Mann–Whitney's U over its pairs, and the scatter of fresh draws."""
    rng = np.random.default_rng(0)

    def draw():
        return rng.normal(0, 1, 60).round(1), rng.normal(0.7, 2, 80).round(1)

    left, right = draw()
    value, error = memorisation.nearer(left, right)
    pairs = np.array([[(a < b) + 0.5 * (a == b) for b in right] for a in left])
    assert value == pytest.approx(pairs.mean(), abs=1e-12)
    u = scipy.stats.mannwhitneyu(right, left).statistic
    assert value == pytest.approx(u / pairs.size, abs=1e-12)
    by_hand = pairs.mean(1).var(ddof=1) / 60 + pairs.mean(0).var(ddof=1) / 80
    assert error == pytest.approx(by_hand**0.5, rel=1e-12)
    fresh = [memorisation.nearer(*draw())[0] for _ in range(400)]
    assert error == pytest.approx(np.std(fresh), rel=0.25)


def test_what_has_no_neighbours_is_refused():
    with pytest.raises(ValueError, match="no neighbours"):
        memorisation.nearest(TRAINING, TRAINING[:0])
    with pytest.raises(ValueError, match="no neighbours"):
        memorisation.nearest(TRAINING, TRAINING[:, :2])
    with pytest.raises(ValueError, match="4 held-out"):
        memorisation.measure(TRAINING, HELD_OUT[:3], TRAINING)
