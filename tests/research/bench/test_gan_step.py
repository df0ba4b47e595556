"""The work that the bench of the GAN's step counts, and the share it tells."""

import numpy as np
import pytest

from research.bench import gan_step


@pytest.mark.parametrize(("noise", "billions"), [("shared", 62.0), ("fresh", 75.4)])
def test_the_work_of_a_step(noise, billions):
    """62 GFLOP at batch 128 with G's pass shared, one pass of G more with fresh noise.

    Counted by hand layer by layer: G 1.254 + 40.14 + 10.04 + 0.94 million products a
    picture, D 0.94 + 10.04 + 0.006 million.
    """
    g, d, first, dense = 52.374e6, 10.982e6, 0.941e6, 1.2544e6
    want = g + g + (g - dense) + 2 * (3 * d - first) + 2 * d
    want += g if noise == "fresh" else 0
    got = gan_step.multiplications(noise)
    np.testing.assert_allclose(got, want, rtol=1e-3)
    np.testing.assert_allclose(2 * 128 * got / 1e9, billions, rtol=2e-3)


def test_the_share_is_of_the_product_s_pace_in_the_same_round():
    """A step as long as the product does work / 2048³ of its multiplications."""
    work = 64 * gan_step.multiplications("shared")
    taken = {"ours": np.array([50.0, 100.0]), "matrix": np.array([50.0, 50.0])}
    row = gan_step.share_of_peak("case", "shared", taken)
    share = 100 * work / 2048**3
    np.testing.assert_allclose(row["median"], 0.75 * share, rtol=1e-6)
    assert row["unit"] == "%"
    assert row["ratios"] == {}
