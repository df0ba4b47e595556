import numpy as np
import pytest

from research.metrics import bits


def test_a_uniform_guess_over_eight_symbols_costs_three_bits():
    found = bits.measure(np.full(10, 784 * np.log(8)), 784, "bits a pixel")
    assert found.value == pytest.approx(3)
    assert (found.low, found.high) == (pytest.approx(3), pytest.approx(3))
    assert (found.samples, found.unit, found.floor) == (10, "bits a pixel", None)


def test_the_interval_covers_the_truth_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    covered = [
        found.low < 1.0 < found.high
        for found in (
            bits.measure(rng.normal(10, 3, size=200) * np.log(2), 10)
            for _ in range(400)
        )
        if found.low is not None and found.high is not None
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(("nats", "targets"), [([1.0], 3), ([1.0, 2.0], 0)], ids=str)
def test_too_little_is_refused(nats, targets):
    with pytest.raises(ValueError, match="two or more examples"):
        bits.measure(np.array(nats), targets)
