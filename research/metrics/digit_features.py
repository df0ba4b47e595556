"""What the shipped digit classifier sees in pictures: features, labels, confidence.

The weights lie beside this file: `digit_classifier.npz`, made by the experiment
`digit_classifier` and `freeze_digit_classifier`, and `digit_classifier.json` with their
seed, accuracy, hash and the command that makes them again. A picture of several
channels holds one digit in each (stacked digits), which are classified one by one.
"""

import functools
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from research.errors import UserError
from research.features import distinct
from research.models.digit_classifier import Model

WEIGHTS = Path(__file__).with_name("digit_classifier.npz")
SIDE = 28  # pixels
CHUNK = 100  # digits in one compiled call: what is computed stays in the cache


class DigitFeatures(NamedTuple):
    """What is seen in each picture; d = 128 for each channel."""

    features: np.ndarray  # [pictures, channels · 128] float32
    labels: np.ndarray  # [pictures] int32; channels a, b, c give 100 a + 10 b + c
    confidence: np.ndarray  # [pictures] float32, mean over channels of max p(digit)
    probabilities: np.ndarray  # [pictures, channels, 10] float32, p(digit)


def features(
    images: np.ndarray, variables: dict[str, Any] | None = None
) -> DigitFeatures:
    """Classifies pictures, channel by channel.

    Args:
      images: uint8 [pictures, 28, 28, channels], digits light on dark.
      variables: of another classifier of the same shape; None takes the shipped one.

    Raises:
      ValueError: other types or shapes.
      UserError: the shipped weights are missing or damaged.
    """
    check(images)
    variables = weights() if variables is None else variables
    pictures, height, width, channels = images.shape
    digits = np.moveaxis(images, -1, 1).reshape(-1, height * width)
    found, probabilities = _classified(variables, digits)
    labels = probabilities.argmax(axis=1).reshape(pictures, channels)
    places = 10 ** np.arange(channels)[::-1]
    confidence = probabilities.max(axis=1).reshape(pictures, channels).mean(axis=1)
    return DigitFeatures(
        found.reshape(pictures, -1),
        (labels @ places).astype(np.int32),
        confidence,
        probabilities.reshape(pictures, channels, -1),
    )


def check(images: np.ndarray) -> None:
    """Raises a ValueError for what are not uint8 pictures of 28×28 pixels."""
    square = images.ndim == 4 and images.shape[1:3] == (SIDE, SIDE)
    if images.dtype != np.uint8 or not square:
        raise ValueError(
            "the digit classifier reads uint8 [pictures, 28, 28, channels] from 0 to "
            f"255, got {images.dtype} {images.shape}"
        )
    if images.size == 0:
        raise ValueError(f"no pictures to classify: shape {images.shape}")


@functools.cache
def weights(file: Path = WEIGHTS) -> dict[str, Any]:
    """The variables of the classifier, float32, read and checked once.

    Args:
      file: the npz; its origin is the JSON file of the same name.

    Raises:
      UserError: a file is missing, or its hash is not the one that was written down.
    """
    try:
        origin = json.loads(file.with_suffix(".json").read_text())
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        raise UserError(f"no weights of the digit classifier: {error}") from error
    if hashlib.sha256(content).hexdigest() != origin["sha256"]:
        raise UserError(
            f"{file} is damaged: its SHA-256 is not that of {file.stem}.json; restore "
            f"both, or make them again: {origin['command']}"
        )
    with np.load(file) as arrays:
        return unflatten({name: arrays[name].astype(np.float32) for name in arrays})


def unflatten(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """A nested dict from names such as `params/Conv_0/kernel`."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *folders, last = name.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = array
    return tree


def _classified(
    variables: dict[str, Any], digits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Features and probabilities of digits [digits, pixels].

    Equal digits are classified once: stacked pictures of real digits repeat the 1,000
    held-out ones. Chunks go to as many threads as there are cores, because the
    convolutions of one call keep a single core busy (measured: 1.8 times faster on 2).
    """
    first, places = distinct(digits)
    chunks = np.split(digits[first], range(CHUNK, len(first), CHUNK))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = list(pool.map(functools.partial(_seen, variables), chunks))
    found, probabilities = (np.concatenate(part) for part in zip(*seen, strict=True))
    return found[places], probabilities[places]


def _seen(
    variables: dict[str, Any], digits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One chunk; a short one is filled up, so that one compiled program serves all."""
    full = np.pad(digits, ((0, CHUNK - len(digits)), (0, 0)))
    found, probabilities = _classify(variables, full)
    return np.asarray(found)[: len(digits)], np.asarray(probabilities)[: len(digits)]


@jax.jit
def _classify(variables: dict[str, Any], digits: jax.Array) -> tuple[Any, jax.Array]:
    pixels = digits.reshape(-1, SIDE, SIDE, 1).astype(jnp.float32) / 255
    logits, found = Model().module().apply(variables, pixels, train=False)
    return found, jax.nn.softmax(logits)
