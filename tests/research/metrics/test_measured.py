import json
import math

import numpy as np
import pytest

from research.metrics.measured import Measured, interval


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
