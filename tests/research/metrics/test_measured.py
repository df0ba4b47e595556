import json
import math

import numpy as np
import pytest

from research.metrics.measured import Measured, error_of_mean, interval


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
        said = np.array([error_of_mean(one, weeks) for one in flat])
        assert np.mean(said**2) ** 0.5 == pytest.approx(true, rel=0.1)
    assert error_of_mean(days[0].ravel()) < true / 4
    # In any order, and for any names of the blocks that keep theirs.
    order = np.random.default_rng(1).permutation(1_450)
    shuffled = error_of_mean(flat[0][order], 7 * weeks[order] - 3)
    assert shuffled == pytest.approx(said[0])
    assert math.isnan(error_of_mean(flat[0], weeks // 5))
