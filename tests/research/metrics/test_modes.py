import numpy as np
import pytest

from research.metrics import modes


def test_coverage_of_a_histogram_worked_out_by_hand():
    """Four modes with 5, 3, 0, 0 of 8 samples: KL = ln 4 − H(5/8, 3/8)."""
    found = modes.coverage(np.array([5, 3, 0, 0]))
    entropy = -(5 / 8 * np.log(5 / 8) + 3 / 8 * np.log(3 / 8))
    assert (found.captured, found.well_covered) == (2, 1)
    assert found.kl == pytest.approx(np.log(4) - entropy, abs=1e-12)


def test_one_picture_for_ever_costs_the_log_of_the_modes():
    found = modes.measure(np.full(500, 7), np.arange(500) % 1_000)
    assert found["kl_to_uniform"].value == pytest.approx(np.log(1_000))
    assert found["modes_captured"][:4] == (1, 500, 1, 1)
    assert found["modes_with_5"][:2] == (1, 0)


def test_an_even_histogram_costs_nothing():
    found = modes.coverage(modes.histogram(np.arange(5_000) % 1_000))
    assert found.kl == pytest.approx(0, abs=1e-12)
    assert (found.captured, found.well_covered) == (1_000, 1_000)


@pytest.mark.parametrize(
    ("samples", "kl", "captured"),
    [(26_000, 0.0194, 1_000), (5_000, 0.105, 993.3), (1_000, 0.575, 632.3)],
)
def test_the_floor_of_a_perfect_generator(samples, kl, captured):
    found = modes.perfect(samples)
    assert found.kl == pytest.approx(kl, abs=0.003)
    assert found.captured == pytest.approx(captured, abs=1)


def test_the_simulated_floor_follows_the_analytic_one():
    assert modes.expected_kl(26_000) == pytest.approx(0.01921, abs=1e-5)
    assert modes.perfect(100_000).kl == pytest.approx(
        modes.expected_kl(100_000), rel=0.02
    )


def test_intervals_are_as_wide_as_the_scatter_of_fresh_samples():
    share = np.random.default_rng(0).dirichlet(np.full(1_000, 0.3))
    rng = np.random.default_rng(1)
    fresh = modes.coverage(rng.multinomial(5_000, share, size=300))
    labels = rng.choice(1_000, size=5_000, p=share)
    found = modes.measure(labels, rng.integers(1_000, size=5_000))
    pairs = {"modes_captured": fresh.captured, "kl_to_uniform": fresh.kl}
    for name, numbers in pairs.items():
        one = found[name]
        assert one.low is not None
        assert one.high is not None
        assert one.low < one.value < one.high
        width = (one.high - one.low) / (2 * 1.96)
        assert width == pytest.approx(np.std(numbers), rel=0.35)


@pytest.mark.parametrize("labels", [[], [0, -1], [1_000]], ids=str)
def test_labels_that_are_no_modes_are_refused(labels):
    with pytest.raises(ValueError, match=r"no samples|outside"):
        modes.histogram(np.array(labels, int))


def test_a_floor_of_another_sample_size_is_refused():
    with pytest.raises(ValueError, match="3 against 4"):
        modes.measure(np.zeros(4, int), np.zeros(3, int))
