"""The bench of the character model tells a pace, not a time."""

import numpy as np

from research.bench import language


def test_the_pace_is_tokens_over_the_time():
    """100 tokens in 2, 4 and 8 ms: 25 thousand a second, quartiles 16.7 and 33.3."""
    taken = {"ours": np.array([2.0, 4.0, 8.0]), "torch": np.array([8.0, 8.0, 8.0])}
    found = language.pace("case", "writing", taken, 100)
    np.testing.assert_allclose(found["median"], 25)
    np.testing.assert_allclose([found["q25"], found["q75"]], [100 / 6, 100 / 3])
    assert found["unit"] == "k tokens/s"
    assert found["ratios"]["torch"]["median"] == 2
