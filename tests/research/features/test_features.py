"""What holds for every file of features, and what is special to each that ships."""

import importlib

import numpy as np
import pytest

from research import features, parts
from research.data import cifar10, digits_8, fashion_mnist, stacked_digits
from research.errors import UserError
from research.features import Seen, distinct, pixels

SHAPES = ((28, 28, 3), (8, 8, 1), (32, 32, 3), (5, 11, 2))
NAMES = parts.names("research.features")


def fits(part, shape):
    try:
        return part.dimensions(shape)
    except UserError:
        return None


def needs_a_file(part):
    return hasattr(part, "configured")


@pytest.mark.parametrize("name", NAMES)
def test_every_file_sees_as_many_features_as_it_says(name):
    part = parts.find("research.features", name)
    assert part.NAME.isidentifier()
    assert part.TITLE
    if needs_a_file(part):
        pytest.skip("reads a file of the user's")
    able = [shape for shape in SHAPES if fits(part, shape)]
    assert able
    rng = np.random.default_rng(0)
    for shape in able:
        images = rng.integers(0, 256, (7, *shape), np.uint8)
        seen = part.see(images)
        assert seen.features.shape == (7, part.dimensions(shape))
        assert seen.features.dtype == np.float32
        blocks = seen.blocks()
        assert blocks.shape == (7 * seen.parts, seen.features.shape[1] // seen.parts)
        # Each picture by itself: its features do not depend on the others.
        np.testing.assert_allclose(
            part.see(images[3:5]).features, seen.features[3:5], rtol=1e-4, atol=1e-4
        )
        assert (seen.probabilities is not None) == part.CLASSES
        if seen.probabilities is not None:
            np.testing.assert_allclose(seen.probabilities.sum(-1), 1, atol=1e-5)


def test_data_sets_name_theirs_and_others_are_judged_by_pixels():
    assert features.of(stacked_digits).__name__ == "research.features.digits"
    assert features.of(digits_8).__name__ == "research.features.digits_8"
    assert features.of(fashion_mnist) is features.of(cifar10) is pixels


def test_labels_read_parts_as_places_of_a_number():
    p = np.zeros((2, 3, 10), np.float32)
    for place, digit in enumerate((4, 0, 7)):
        p[0, place, digit] = 1
    p[1, :, 9] = 0.6
    p[1, :, 8] = 0.4
    seen = Seen(np.zeros((2, 6), np.float32), 3, p)
    assert seen.labels().tolist() == [407, 999]
    np.testing.assert_allclose(seen.confidence(), [1, 0.6])


def test_the_window_names_the_held_out_small_digits():
    arrays = digits_8.load("test").arrays
    part = features.of(digits_8)
    seen = part.see(arrays["image"])
    assert np.mean(seen.labels() == arrays["label"]) >= 0.985
    assert 0.98 < seen.confidence().mean() < 1
    noise = np.random.default_rng(0).integers(0, 256, (500, 8, 8, 1), np.uint8)
    assert part.see(noise).confidence().mean() < 0.8


def test_the_window_is_a_sum_over_the_training_digits():
    part = importlib.import_module("research.features.digits_8")
    train, x = digits_8.load("train").arrays, digits_8.load("test").arrays["image"][:4]
    want = np.zeros((4, 10))
    for row, picture in enumerate(x / 255):
        for known, label in zip(train["image"] / 255, train["label"], strict=True):
            squared = np.sum((picture - known) ** 2)
            want[row, label] += np.exp(-squared / (2 * part.WIDTH**2))
    want /= want.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(part.see(x).probabilities[:, 0], want, atol=1e-5)


def test_fields_are_means_of_the_pixels_in_them():
    image = np.random.default_rng(1).integers(0, 256, (1, 28, 12, 3), np.uint8)
    found = pixels.see(image).features.reshape(8, 8, 3)
    rows = [i * 28 // 8 for i in range(9)]
    columns = [i * 12 // 8 for i in range(9)]
    for i, j in ((0, 0), (3, 5), (7, 7)):
        field = image[0, rows[i] : rows[i + 1], columns[j] : columns[j + 1]] / 255
        np.testing.assert_allclose(found[i, j], field.mean(axis=(0, 1)), rtol=1e-5)
    # Small pictures are their own fields.
    small = image[:, :5, :7]
    np.testing.assert_allclose(
        pixels.see(small).features, small.reshape(1, -1) / 255, rtol=1e-5
    )


def test_rows_are_found_once():
    rows = np.array([[1, 2], [3, 4], [1, 2], [3, 5]], np.float32)
    first, places = distinct(rows)
    assert len(first) == 3
    np.testing.assert_array_equal(rows[first][places], rows)


@pytest.mark.parametrize(("name", "size"), [("digits", 28), ("digits_8", 8)])
def test_pictures_of_another_size_are_refused_with_the_way_out(name, size):
    part = parts.find("research.features", name)
    with pytest.raises(UserError, match=f"{size}×{size} pixels.*judge them by pixels"):
        part.dimensions((32, 32, 3))
