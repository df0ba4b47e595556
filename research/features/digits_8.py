"""8×8 digits as they are: their 64 pixels, and the class of the digits around them.

The class probabilities are those of a Parzen window (Parzen 1962) on the 1,440 training
digits of `digits_8`: p(class | x) ∝ Σ over its digits of exp(−|x − digit|² / 2 h²). It
names 98.7 % of the held-out digits (the nearest digit alone: 98.7 %), has no weights,
and tells when it does not know. h = 0.35, in pixels from 0 to 1, is the one with the
best likelihood of each training digit by the others (0.044 nats; 0.050 at 0.30).
"""

import functools

import numpy as np

from research.errors import UserError
from research.features import Seen, distinct
from research.sources import small_digits

NAME = "pixel"
TITLE = "pixels"
CLASSES = True
WIDTH = 0.35  # h
SIDE = 8
CHUNK = 4_096  # digits at a time: 24 MB of distances


def see(images: np.ndarray) -> Seen:
    """Classifies uint8 [pictures, 8, 8, channels], channel by channel."""
    count, *_, channels = images.shape
    digits = np.moveaxis(images, -1, 1).reshape(count * channels, SIDE * SIDE)
    # Real stacks repeat a few hundred digits: each is classified once.
    first, places = distinct(digits)
    known = digits[first].astype(np.float32) / 255
    chunks = [known[i : i + CHUNK] for i in range(0, len(known), CHUNK)]
    found = np.concatenate([_probabilities(chunk) for chunk in chunks])[places]
    features = digits.reshape(count, -1).astype(np.float32) / 255
    return Seen(features, channels, found.reshape(count, channels, -1))


def dimensions(shape: tuple[int, ...]) -> int:
    """Features of a picture (height, width, channels).

    Raises:
      UserError: pictures that are not of 8×8 pixels.
    """
    if shape[:2] != (SIDE, SIDE):
        raise UserError(
            f"the classifier of small digits reads pictures of 8×8 pixels, these have "
            f"{shape}: judge them by pixels"
        )
    return SIDE * SIDE * shape[2]


@functools.cache
def _known() -> tuple[np.ndarray, np.ndarray]:
    """The training digits [digits, 64] in [0, 1] and their classes as one-hot rows."""
    images, labels = small_digits.splits()["train"]
    known = images.reshape(len(images), -1).astype(np.float32) / 255
    return known, np.eye(10, dtype=np.float32)[labels]


def _probabilities(digits: np.ndarray) -> np.ndarray:
    known, classes = _known()
    squares = (digits**2).sum(1)[:, None] - 2 * digits @ known.T + (known**2).sum(1)
    logits = -squares / (2 * WIDTH**2)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True)) @ classes
    return weights / weights.sum(axis=1, keepdims=True)
