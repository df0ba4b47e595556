"""Pictures as sequences of symbols: against plain loops, and drawn against encoded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.encodings import pixels
from research.errors import UserError

PICTURES = 3


@pytest.fixture(scope="module")
def images():
    """Smooth enough to have runs of one symbol, with every grey level around 127."""
    rng = np.random.default_rng(2)
    coarse = rng.integers(60, 200, (PICTURES, 14, 14, 3))
    return np.uint8(coarse.repeat(2, 1).repeat(2, 2) + rng.integers(-3, 4, 3))


def symbol(pixel):
    """Red counts 4, green 2, blue 1; a colour is on above 127."""
    return sum(
        weight for weight, level in zip((4, 2, 1), pixel, strict=True) if level > 127
    )


def features_by_loop(image):
    """Inputs [784, 104] of one picture, position by position; black around it."""
    grid = [[symbol(pixel) for pixel in row] for row in image]
    rows = []
    for position in range(784):
        row, column = divmod(position, 28)
        seen = [divmod(position - 1, 28)] if position else [(-1, 0)]
        seen += [(row - 1, column + shift) for shift in (-2, -1, 0, 1, 2)]
        known = []
        for r, c in seen:
            one_hot = [0] * 8
            one_hot[grid[r][c] if r >= 0 and 0 <= c < 28 else 0] = 1
            known += one_hot
        place = [0] * 56
        place[row] = place[28 + column] = 1
        rows.append(known + place)
    return np.array(rows), np.array(grid).ravel()


def test_inputs_and_targets_are_those_of_a_plain_loop(images):
    inputs, targets = jax.jit(lambda x: pixels.encode({"image": x}, None))(images)
    assert inputs.shape == (PICTURES, 784, pixels.FEATURES) == (PICTURES, 784, 104)
    assert targets.dtype == jnp.int32
    for image, got, got_targets in zip(images, inputs, targets, strict=True):
        want, want_targets = features_by_loop(image)
        np.testing.assert_array_equal(got_targets, want_targets)
        np.testing.assert_array_equal(got, want)


def test_an_input_knows_nothing_of_its_own_and_later_pixels(images):
    """What makes the product of predictions a likelihood."""
    encode = jax.jit(lambda x: pixels.encode({"image": x}, None)[0])
    before = encode(images)
    rng = np.random.default_rng(1)
    for position in (0, 1, 27, 28, 400, 783):
        changed = images.reshape(PICTURES, 784, 3).copy()
        changed[:, position:] = rng.integers(0, 256, changed[:, position:].shape)
        after = encode(changed.reshape(images.shape))
        np.testing.assert_array_equal(
            after[:, : position + 1], before[:, : position + 1]
        )


def test_symbols_and_pictures_are_inverse(images):
    symbols = np.arange(784)[None] % 8
    back = pixels.symbols(pixels.pictures(jnp.int32(symbols)))
    np.testing.assert_array_equal(back, symbols)
    drawn = pixels.as_drawn(jnp.asarray(images))
    assert drawn.dtype == jnp.uint8
    np.testing.assert_array_equal(drawn, np.where(images > 127, 255, 0))
    np.testing.assert_array_equal(pixels.as_drawn(drawn), drawn)


def test_127_is_dark_and_128_is_light():
    image = np.full((1, 28, 28, 3), 127, np.uint8)
    image[0, 0, 0] = (128, 127, 127)
    image[0, 0, 1] = (127, 128, 127)
    image[0, 27, 27] = (127, 127, 128)
    symbols = pixels.symbols(jnp.asarray(image))[0]
    assert (symbols[0], symbols[1], symbols[783]) == (4, 2, 1)
    assert symbols.sum() == 7


# --- drawing -------------------------------------------------------------------------


def predict_by(weights, by_position):
    """Logits linear in the inputs, plus the step's row of a table; the state counts."""

    def predict(inputs, count):
        logits = inputs @ weights + by_position[count][None, None]
        return logits, count + 1

    return predict


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(9)
    return (
        jnp.float32(rng.normal(size=(pixels.FEATURES, 8))),
        jnp.float32(rng.normal(size=(784, 8))),
    )


def draw(weights, scale, keys):
    predict = predict_by(scale * weights[0], scale * weights[1])
    return jax.jit(lambda k: pixels.draw(predict, jnp.int32(0), k))(keys)


def test_what_is_drawn_is_what_its_own_encoding_predicts(weights):
    """With logits in the millions there is nothing to chance: at all 784 positions the
    symbol drawn is the likeliest one, given the picture as `encode` shows it."""
    keys = jax.random.split(jax.random.key(0), PICTURES)
    images = draw(weights, 1e6, keys)
    assert images.shape == (PICTURES, 28, 28, 3)
    assert images.dtype == jnp.uint8
    inputs, symbols = pixels.encode({"image": images}, None)
    logits = np.asarray(inputs) @ np.asarray(weights[0]) + np.asarray(weights[1])
    np.testing.assert_array_equal(logits.argmax(-1), symbols)
    assert len(np.unique(np.asarray(symbols))) == 8


def test_a_picture_depends_on_its_own_key_alone(weights):
    keys = jax.random.split(jax.random.key(1), 4)
    together = np.asarray(draw(weights, 0.3, keys))
    np.testing.assert_array_equal(draw(weights, 0.3, keys[2:3])[0], together[2])
    np.testing.assert_array_equal(draw(weights, 0.3, keys[::-1])[0], together[3])
    assert len({image.tobytes() for image in together}) == 4


def test_symbols_are_drawn_with_their_probabilities():
    """The same distribution at every step: 784 · 64 draws, 5 standard deviations."""
    share = np.array([0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.02, 0.0])
    logits = jnp.float32(np.where(share > 0, np.log(np.maximum(share, 1e-30)), -1e9))
    nothing = jnp.zeros((pixels.FEATURES, 8)), jnp.tile(logits, (784, 1))
    keys = jax.random.split(jax.random.key(2), 64)
    symbols = np.asarray(pixels.symbols(draw(nothing, 1.0, keys)))
    found = np.bincount(symbols.ravel(), minlength=8) / symbols.size
    error = np.sqrt(share * (1 - share) / symbols.size)
    assert (np.abs(found - share) <= 5 * error).all()
    # Neighbours in a picture are drawn by keys of their own.
    same = (symbols[:, 1:] == symbols[:, :-1]).mean()
    np.testing.assert_allclose(same, (share**2).sum(), atol=0.015)


@pytest.mark.parametrize("shape", [(2, 28, 28, 1), (2, 32, 32, 3)])
def test_pictures_of_another_shape_are_refused(shape):
    """One colour would be broadcast over three, and still look like a likelihood."""
    said = str(shape[1:]).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(UserError, match=said):
        pixels.encode({"image": jnp.zeros(shape, jnp.uint8)}, None)
