import json
import math

import numpy as np
import pytest

from research.metrics.measured import (
    Measured,
    StandardError,
    error_of_mean,
    interval,
    mean,
    reach,
)


def test_a_number_survives_json():
    number = Measured(0.5, 0.25, 0.4, 0.6, 5_000, "nats")
    assert Measured.from_dict(json.loads(json.dumps(number.to_dict()))) == number


def test_numbers_of_numpy_are_written_as_plain_ones():
    fields = {"value": 0.5, "low": np.float32(0.25), "samples": np.int64(5_000)}
    text = json.dumps(Measured(**fields).to_dict())
    assert '"low": 0.25' in text
    assert '"samples": 5000' in text


def test_nan_is_written_as_null_and_read_as_nan():
    fields = Measured(math.nan).to_dict()
    assert fields["value"] is None
    assert math.isnan(Measured.from_dict(fields).value)


@pytest.mark.parametrize("fields", [{}, {"value": 1.0, "flour": 2.0}], ids=str)
def test_unknown_and_missing_fields_are_refused(fields):
    with pytest.raises(ValueError, match="always a value"):
        Measured.from_dict(fields)


def test_interval_keeps_the_spread_and_moves_the_centre():
    replicates = np.linspace(0, 1, 1_001) + 7  # centred far from the value
    low, high = interval(3.0, replicates)
    assert low == pytest.approx(3 - 0.475)
    assert high == pytest.approx(3 + 0.475)


def test_interval_stays_inside_the_range():
    assert interval(0.1, np.linspace(0, 1, 101), least=0, most=0.2) == (0, 0.2)


def test_windows_that_overlap_count_as_the_blocks_that_they_are_cut_from():
    """300 records of 10 weeks: 145 days begin in a week, each the mean of 24 hours.

    The records' means scatter as is said, with a course of the year on top, too; as if
    the days were independent, the error would be a fifth of that.
    """
    hours = np.random.default_rng(0).normal(size=(300, 10, 168))
    days = np.lib.stride_tricks.sliding_window_view(hours, 24, axis=-1).mean(-1)
    weeks = np.repeat(np.arange(10), 145)
    true = days.mean((1, 2)).std()
    course = 3.0 * np.arange(10)[:, None]
    for records in (days, days + course):
        flat = records.reshape(300, -1)
        said = np.array([error_of_mean(one, weeks).size for one in flat])
        assert np.mean(said**2) ** 0.5 == pytest.approx(true, rel=0.1)
    assert error_of_mean(days[0].ravel()).size < true / 4
    # In any order, and for any names of the blocks that keep theirs.
    order = np.random.default_rng(1).permutation(1_450)
    shuffled = error_of_mean(flat[0][order], 7 * weeks[order] - 3).size
    assert shuffled == pytest.approx(said[0])
    assert math.isnan(error_of_mean(flat[0], weeks // 5).size)


@pytest.mark.parametrize("blocks", [10, 40])
def test_the_interval_of_few_blocks_covers_the_truth_as_often_as_it_says(blocks):
    """4,000 records of independent blocks, two equal samples of each.

    As if their number were large, 88.8 % of the intervals of ten would.
    """
    records = np.random.default_rng(0).normal(size=(4_000, blocks)).repeat(2, axis=1)
    found = [mean(one, "", np.arange(blocks).repeat(2)) for one in records]
    ends = np.array([(one.low, one.high) for one in found])
    covered = np.mean((ends[:, 0] < 0) & (ends[:, 1] > 0))
    print(f"{blocks} blocks: {covered:.1%} covered")
    assert covered == pytest.approx(0.95, abs=0.012)


def test_the_interval_of_few_independent_samples_is_student_s():
    """1, 2, 3: 2 ± 4.303 · 1 / √3 (Student's t of two degrees of freedom)."""
    found = mean(np.array([1.0, 2.0, 3.0]), "")
    assert (found.low, found.high) == pytest.approx((-0.4842, 4.4842), abs=1e-3)
    alone = mean(np.array([1.0]), "")
    assert alone.value == 1
    assert (alone.low, alone.high) == pytest.approx((math.nan, math.nan), nan_ok=True)


def test_of_two_errors_the_worse_known_decides_the_freedom():
    """Welch: equal errors of 4 and of many degrees of freedom have about 16."""
    vague, known = StandardError(3.0, 4), StandardError(3.0, 1e9)
    assert reach(vague, known) == pytest.approx(2.1199 * 18**0.5, rel=1e-4)
    assert reach(StandardError(0.0, 4), StandardError(0.0, 9)) == 0
