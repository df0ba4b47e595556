"""The work that the bench of the GAN's step counts, and the share it tells."""

import numpy as np
import pytest

from research.bench import gan_step


@pytest.mark.parametrize("noise", ["shared", "fresh"])
def test_the_work_of_a_step(noise):
    """Counted by hand, batch 64; 67, 32 and 29 taps of an axis are inside.

    7×7 places and 5 taps make 9×9 frequencies, 121 real products; 256 → 128 channels.
    """
    fourier = 121 * (64 * 256 * 128 + 64 * 49 * (256 + 128) + 25 * 256 * 128)
    middle, outer = 64 * 32**2 * 128 * 64, 64 * 67**2 * 64 * 3
    dense = 64 * 100 * 49 * 256
    g = dense + fourier + middle + outer
    d = outer + middle + 64 * 49 * 128
    want = g + g + (g - dense) + 2 * (3 * d - outer) + 2 * d
    want += g if noise == "fresh" else 0
    assert gan_step.multiplications(noise) == want


def test_the_share_is_of_the_product_s_pace_in_the_same_round():
    """A step as long as the product does work / 2048³ of its multiplications."""
    work = gan_step.multiplications("shared")
    taken = {"ours": np.array([50.0, 100.0]), "matrix": np.array([50.0, 50.0])}
    row = gan_step.share_of_peak("case", "shared", taken)
    share = 100 * work / 2048**3
    np.testing.assert_allclose(row["median"], 0.75 * share, rtol=1e-6)
    assert (row["unit"], row["what"]) == ("%", "16.1 GFLOP, of peak")
    assert row["ratios"] == {}
