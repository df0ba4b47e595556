import math

import pytest

from research.reports import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (5_000, "5,000"),
        (1649.6, "1,650"),
        (12.345, "12.3"),
        (0.09753, "0.0975"),
        (0.000012, "0.0000"),
        (-0.51234, "−0.512"),
        (math.nan, "not a number"),
        (math.inf, "∞"),
    ],
)
def test_number(value, text):
    assert numbers.number(value) == text


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((0.4811, 0.4935), "0.481 to 0.493"),
        ((0.339, 0.343), "0.339 to 0.343"),
        ((255.1, 270.9), "255 to 271"),
        ((1, 1), "1 to 1"),
        ((1590.8, 1689.2), "1,591 to 1,689"),
        ((0.40, 0.44), "0.40 to 0.44"),
        ((-0.02, 0.05), "−0.02 to 0.05"),
    ],
)
def test_span_has_the_decimals_of_its_width(ends, text):
    assert numbers.span(*ends) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00042, "0.42 ms"),
        (0.0912, "91.2 ms"),
        (37.81, "37.8 s"),
        (99.96, "1 min 40 s"),
        (201.7, "3 min 22 s"),
        (120, "2 min"),
        (7_500, "2 h 5 min"),
    ],
)
def test_duration(seconds, text):
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (42, "about 42 s"),
        (2_138, "about 36 min"),
        (5_400, "about 1.5 h"),
        (20_625, "about 5.7 h"),
        (300_000, "about 3.5 days"),
    ],
)
def test_roughly(seconds, text):
    assert numbers.roughly(seconds) == text


def test_brief_and_listing():
    assert [numbers.brief(v) for v in (0.64, 1.813, 39.06, 234.4)] == [
        "0.64",
        "1.8",
        "39",
        "230",
    ]
    assert numbers.brief(12_345_678) == "12,000,000"
    assert numbers.listing(["a"]) == "a"
    assert numbers.listing(["a", "b", "c"]) == "a, b and c"
