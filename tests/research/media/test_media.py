"""What holds for every medium found in the folder, a fork's too."""

import io

import numpy as np
import pytest
from PIL import Image

from research import media, parts
from research.data import stacked_digits
from research.media import music, pictures

NAMES = parts.names("research.media")


@pytest.mark.parametrize("name", NAMES)
def test_every_medium_has_the_whole_interface(name):
    medium = parts.find("research.media", name)
    assert isinstance(medium.ENTRY, str)
    assert medium.SHOWN > 0
    assert medium.SUFFIX.startswith(".")
    for function in ("write", "sheet", "score"):
        assert callable(getattr(medium, function))
    assert hasattr(medium, "to_network") == hasattr(medium, "from_network")


def test_a_data_set_that_names_no_medium_is_of_pictures():
    assert not hasattr(stacked_digits, "MEDIUM")
    assert media.of(stacked_digits) is pictures


def test_the_page_s_sheet_holds_each_picture_in_its_place():
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 3, 1), np.uint8)
    paper = np.asarray(Image.open(io.BytesIO(pictures.sheet(images, None))))
    small = paper[::21, ::21]  # 84 screen pixels over 4
    for i, image in enumerate(images):
        top, left = i // 5 * 6, i % 5 * 5
        shown = small[top : top + 4, left : left + 3]
        np.testing.assert_array_equal(shown[..., :3], np.repeat(image, 3, axis=-1))
        assert (shown[..., 3] == 255).all()
    assert (small[4:6] == 0).all()  # a gap is clear


def test_a_piano_roll_shows_high_keys_above_and_time_to_the_right():
    frames = np.zeros((3, 90, 88), bool)
    frames[1, 4, 87] = frames[0, 0, 39] = frames[2, 89, 87] = True
    paper = np.asarray(Image.open(io.BytesIO(music.sheet(frames, None))))
    size = music.SCALE
    second = paper[:, 90 * size + music.GAP :]
    assert (second[:size, 4 * size : 5 * size] == music.INK).all()
    third = paper[88 * size + music.GAP :]  # two of 90 fill a row of 192
    assert (third[:size, 89 * size : 90 * size] == music.INK).all()
    assert (paper == music.INK).sum() == 3 * size**2
    middle_c = paper[(87 - 39) * size]  # MIDI 60, a C
    assert middle_c[0] == music.INK
    assert (middle_c[size : 90 * size] == music.OCTAVE).all()
