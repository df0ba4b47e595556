"""The scatter picture holds the points and the rings where they belong."""

import io

import numpy as np
import pytest
from PIL import Image

from research.data import grid, stacked_digits
from research.errors import UserError
from research.media import points


def seen(samples, dataset=grid):
    """Where the picture is blue, as points are, and orange, as rings: by quarters."""
    picture = Image.open(io.BytesIO(points.sheet(samples, dataset))).convert("RGB")
    assert picture.size == (480, 480)
    pixels = np.asarray(picture).astype(int)

    blueness = pixels[..., 2] - pixels[..., 0]

    def quarters(near):
        return [near[:240, :240], near[:240, 240:], near[240:, :240], near[240:, 240:]]

    return {"points": quarters(blueness > 50), "rings": quarters(blueness < -50)}


def test_points_are_drawn_on_their_side_over_the_rings_of_all_modes():
    """All points at (4, 4), the upper right: none elsewhere, rings in every quarter."""
    found = seen(np.full((100, 2), 4.0))
    blue = [quarter.sum() > 0 for quarter in found["points"]]
    assert blue == [False, True, False, False]
    assert all(quarter.sum() > 50 for quarter in found["rings"])


def test_without_its_data_set_the_points_are_drawn_alone():
    rng = np.random.default_rng(0)
    found = seen(rng.normal(size=(400, 2)), None)
    assert sum(quarter.sum() for quarter in found["rings"]) == 0
    assert all(quarter.sum() > 50 for quarter in found["points"])
    seen(np.zeros((5, 2)), None)  # all at one place: no division by zero


def test_write_writes_the_same_picture(tmp_path):
    samples = np.random.default_rng(0).normal(size=(40, 2))
    points.write(samples, tmp_path / "a.png", grid)
    assert (tmp_path / "a.png").read_bytes() == points.sheet(samples, grid)


def test_a_data_set_without_modes_cannot_be_scored():
    with pytest.raises(UserError, match=r"stacked_digits has no MODES and SIGMA"):
        points.score(*np.zeros((3, 4, 2)), stacked_digits)
