"""The days are what the files say, and no held-out one is a training one."""

import numpy as np
import pytest

from research.data import temperatures
from research.errors import UserError
from research.media import series


def celsius(split):
    frames = temperatures.load(split).arrays["frames"]
    return temperatures.CENTRE + temperatures.SPREAD * frames


def test_the_first_day_is_the_file_s():
    """39.4, 39.2 °F and 47.8, 47.4 °F: the first hours of 2010."""
    first = celsius("train")[0, :2]
    want = (np.array([[39.4, 47.8], [39.2, 47.4]]) - 32) / 1.8
    np.testing.assert_allclose(first, want, atol=1e-4)


def test_sizes_and_scale():
    """52 whole weeks, 10 of them held out, 145 days that begin in each."""
    train, test = (temperatures.load(s).arrays["frames"] for s in ("train", "test"))
    assert train.shape == (42 * 145, 24, 2)
    assert test.shape == (10 * 145, 24, 2)
    for end in (train.max((0, 1)), -train.min((0, 1))):
        assert (end > 0.95).all()
        assert (end <= 1).all()


def test_the_block_of_a_day_is_its_week():
    """Where days go on from hour to hour; 23 hours of two neighbours are the same."""
    for split in map(temperatures.load, ("train", "test")):
        frames, block = split.arrays["frames"], split.arrays["block"]
        goes_on = (frames[:-1, 1:] == frames[1:, :-1]).all((1, 2))
        np.testing.assert_array_equal(np.diff(block) == 0, goes_on)


def test_no_held_out_day_is_a_training_day():
    train, test = (celsius(split)[:, :, 0] for split in ("train", "test"))
    known = {day.tobytes() for day in train}
    assert not known & {day.tobytes() for day in test}


def test_other_splits_and_too_few_series_are_refused():
    with pytest.raises(UserError, match="no split 'dev'"):
        temperatures.load("dev")
    series.refuse(0, temperatures, 10)
    series.refuse(49, temperatures, 49)
    with pytest.raises(UserError, match="score-pictures 48"):
        series.refuse(48, temperatures, 1_000)
