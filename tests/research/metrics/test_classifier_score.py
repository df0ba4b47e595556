import numpy as np
import pytest

from research.metrics import classifier_score


def sure(labels, classes=4):
    return np.eye(classes)[labels][:, None]


def test_a_value_worked_out_by_hand():
    """p = (1, 0), (0, 1), (½, ½): entropies 0, 0, ln 2 about a marginal of ln 2."""
    p = np.array([[1, 0], [0, 1], [0.5, 0.5]])
    assert classifier_score.score(p) == pytest.approx(np.exp(np.log(2) * 2 / 3))


def test_the_two_ends():
    labels = np.arange(400) % 4
    best = classifier_score.measure(sure(labels), sure(labels))
    assert best.value == pytest.approx(4)
    assert best.unit == "of 4"
    one = classifier_score.measure(sure(np.zeros(400, int)), sure(labels))
    assert one.value == pytest.approx(1)
    assert one.floor == pytest.approx(4)
    unsure = classifier_score.measure(np.full((400, 1, 4), 0.25), sure(labels))
    assert unsure.value == pytest.approx(1)


def test_parts_are_independent_so_their_scores_multiply():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(3), size=(2, 50))
    every = np.stack(
        [np.repeat(p, 50, axis=0), np.tile(q, (50, 1))], axis=1
    )  # all pairs
    both = classifier_score.joint(every)
    np.testing.assert_allclose(both[51], np.outer(p[1], q[1]).ravel())
    want = classifier_score.score(p) * classifier_score.score(q)
    assert classifier_score.score(both) == pytest.approx(want)


def test_better_samples_score_more_and_the_interval_fits_fresh_draws():
    def draw(seed, sharpness, share):
        rng = np.random.default_rng(seed)
        labels = rng.choice(4, size=600, p=share)
        logits = sharpness * np.eye(4)[labels] + rng.normal(size=(600, 4))
        p = np.exp(logits)
        return (p / p.sum(axis=1, keepdims=True))[:, None]

    even, uneven = [0.25] * 4, [0.85, 0.05, 0.05, 0.05]
    real = draw(9, 8, even)
    good, vague, narrow = (
        classifier_score.measure(draw(0, *what), real)
        for what in ((8, even), (3, even), (8, uneven))
    )
    assert good.low > vague.high
    assert good.low > narrow.high
    fresh = [
        classifier_score.score(draw(seed, 3, even)[:, 0]) for seed in range(1, 201)
    ]
    width = (vague.high - vague.low) / (2 * 1.96)
    assert width == pytest.approx(np.std(fresh), rel=0.25)


def test_what_are_no_probabilities_is_refused():
    p = np.full((5, 1, 4), 0.25)
    with pytest.raises(ValueError, match="do not sum to 1"):
        classifier_score.measure(2 * p, p)
    with pytest.raises(ValueError, match="as many real samples"):
        classifier_score.measure(p, p[1:])
