import math

import numpy as np
import pytest

from research.data import grid, ring
from research.metrics import points

SIGMA = grid.SIGMA


def mixture(seed, share=None, sigma=SIGMA, count=2_500, part=grid):
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(part.MODES), size=count, p=share)
    return part.MODES[labels] + rng.normal(0, sigma, (count, 2))


def score(generated, part=grid):
    again = mixture(99, sigma=part.SIGMA, count=len(generated), part=part)
    return points.score(generated, again, part.MODES, part.SIGMA)


def ends(measured):
    """The interval's ends, which must be there."""
    assert measured.low is not None
    assert measured.high is not None
    assert measured.low <= measured.value <= measured.high
    return measured.low, measured.high


def test_a_histogram_worked_out_by_hand():
    """Two modes 1 apart, σ 0.1: 0.299 off is of high quality, 0.301 off is not."""
    centres = np.array([[0.0, 0.0], [1.0, 0.0]])
    drawn = np.array([[0, 0.299], [0.301, 0], [0.9, 0], [1.1, 0.1], [50, 50]])
    np.testing.assert_array_equal(points.histogram(drawn, centres, 0.1), [1, 2, 2])
    found = points.score(drawn, drawn, centres, 0.1)
    assert found["modes_captured"].value == 2
    assert found["high_quality"].value == pytest.approx(3 / 5)
    entropy = -(1 / 3 * math.log(1 / 3) + 2 / 3 * math.log(2 / 3))
    assert found["kl_to_uniform"].value == pytest.approx(math.log(2) - entropy)


@pytest.mark.parametrize("part", [ring, grid])
def test_real_points_score_the_closed_forms(part):
    """1 − exp(−9/2) within 3 σ; E[KL] ≈ (modes − 1) / (2 samples)."""
    found = score(mixture(0, sigma=part.SIGMA, count=40_000, part=part), part)
    assert found["modes_captured"][:2] == (len(part.MODES),) * 2
    share = 1 - math.exp(-4.5)
    error = math.sqrt(share * (1 - share) / 40_000)
    assert found["high_quality"].value == pytest.approx(share, abs=4 * error)
    assert found["high_quality"].floor == pytest.approx(share, abs=4 * error)
    expected = (len(part.MODES) - 1) / 80_000
    assert found["kl_to_uniform"].value == pytest.approx(expected, rel=1.5)


def test_worse_points_score_worse_each_in_its_own_number():
    good, blurred = score(mixture(0)), score(mixture(0, sigma=3 * SIGMA))
    uneven = score(mixture(0, share=np.arange(1, 26) / 325))
    few = np.zeros(25)
    few[:5] = 0.2
    dropped, collapsed = score(mixture(0, share=few)), score(np.zeros((2_500, 2)))
    assert ends(blurred["high_quality"])[1] < 0.5 < ends(good["high_quality"])[0]
    assert blurred["modes_captured"].value == 25
    assert uneven["modes_captured"].value == 25
    assert ends(uneven["kl_to_uniform"])[0] > 5 * good["kl_to_uniform"].value
    assert dropped["modes_captured"].value == 5
    assert dropped["kl_to_uniform"].value == pytest.approx(math.log(5), abs=0.01)
    assert dropped["high_quality"].value == pytest.approx(0.989, abs=0.01)
    assert collapsed["modes_captured"].value == 1
    assert collapsed["high_quality"].value == 1
    assert collapsed["kl_to_uniform"].value == pytest.approx(math.log(25))
    assert collapsed["pair_distance"].value == 0


def test_points_near_no_mode_have_no_kl():
    found = score(np.full((2_500, 2), 1.0))
    assert found["modes_captured"].value == 0
    assert found["high_quality"].value == 0
    assert math.isnan(found["kl_to_uniform"].value)
    assert found["kl_to_uniform"].low is None


def test_intervals_are_as_wide_as_the_scatter_of_fresh_points():
    share = np.random.default_rng(5).dirichlet(np.full(25, 1.0))
    found = score(mixture(0, share, 1.5 * SIGMA))
    fresh = [
        points.histogram(mixture(seed, share, 1.5 * SIGMA), grid.MODES, SIGMA)
        for seed in range(1, 301)
    ]
    numbers = points.numbers(np.stack(fresh))
    for name in ("high_quality", "kl_to_uniform"):
        one = found[name]
        low, high = ends(one)
        width = (high - low) / (2 * 1.96)
        assert width == pytest.approx(np.std(numbers[name]), rel=0.25), name


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match="9 against 10"):
        points.score(np.zeros((10, 2)), np.zeros((9, 2)), grid.MODES, SIGMA)
    with pytest.raises(ValueError, match=r"\[points, 2\], got \(3, 3\)"):
        points.histogram(np.zeros((3, 3)), grid.MODES, SIGMA)
    with pytest.raises(ValueError, match="not finite"):
        points.histogram(np.array([[0, np.nan]]), grid.MODES, SIGMA)
