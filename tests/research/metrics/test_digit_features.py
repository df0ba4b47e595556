import shutil

import jax
import numpy as np
import pytest

from research.data import digits
from research.errors import UserError
from research.metrics import digit_features
from research.models.digit_classifier import Model


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    return digits.load("test", tmp_path_factory.mktemp("data")).arrays


def test_the_shipped_weights_name_985_of_1000_held_out_digits(held_out):
    seen = digit_features.features(held_out["image"])
    assert np.mean(seen.labels == held_out["label"]) >= 0.985
    assert 0.9 < seen.confidence.mean() < 1


def test_channels_are_digits_of_the_label_and_blocks_of_the_features(held_out):
    image, label = held_out["image"][:600], held_out["label"][:600]
    stacked = np.concatenate([image[:200], image[200:400], image[400:]], axis=-1)
    single, seen = map(digit_features.features, (image, stacked))
    a, b, c = single.labels.reshape(3, 200)
    np.testing.assert_array_equal(seen.labels, 100 * a + 10 * b + c)
    a, b, c = single.features.reshape(3, 200, 128)
    np.testing.assert_array_equal(seen.features, np.concatenate([a, b, c], axis=1))
    np.testing.assert_allclose(
        seen.confidence, single.confidence.reshape(3, 200).mean(axis=0), rtol=1e-6
    )
    assert np.mean(100 * label[:200] == 100 * (seen.labels // 100)) > 0.95


def test_it_is_the_model_applied_to_pixels_in_the_unit_range(held_out):
    """153 pictures, two of them equal: a chunk that is not full, and one digit less."""
    image = held_out["image"][:153].copy()
    image[7] = image[3]
    seen = digit_features.features(image)
    apply = Model().module().apply
    logits, want = map(
        np.asarray, apply(digit_features.weights(), image / np.float32(255))
    )
    np.testing.assert_allclose(seen.features, want, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(seen.labels, np.argmax(logits, axis=1))
    np.testing.assert_allclose(
        seen.confidence, jax.nn.softmax(logits).max(axis=1), atol=1e-5
    )
    np.testing.assert_array_equal(seen.features[7], seen.features[3])


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 28, 28, 3), np.float32), np.zeros((2, 32, 32, 3), np.uint8)],
    ids=["float32", "32x32"],
)
def test_other_pictures_are_refused(images):
    with pytest.raises(ValueError, match="reads uint8"):
        digit_features.features(images)
    with pytest.raises(ValueError, match="no pictures"):
        digit_features.features(np.zeros((0, 28, 28, 3), np.uint8))


def test_damaged_or_missing_weights_are_refused(tmp_path):
    copy = tmp_path / "digit_classifier.npz"
    with pytest.raises(UserError, match="no weights"):
        digit_features.weights(copy)
    for suffix in (".npz", ".json"):
        shutil.copy(digit_features.WEIGHTS.with_suffix(suffix), tmp_path)
    assert digit_features.weights(copy)["params"]
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    digit_features.weights.cache_clear()
    with pytest.raises(UserError, match=r"damaged.*freeze_digit_classifier"):
        digit_features.weights(copy)
