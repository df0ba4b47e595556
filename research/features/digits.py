"""The features and classes of the shipped classifier of 28×28 digits, 128 a channel."""

import numpy as np

from research.errors import UserError
from research.features import Seen
from research.metrics import digit_features

NAME = "digit"
TITLE = "digit features"
CLASSES = True


def see(images: np.ndarray) -> Seen:
    """Classifies uint8 [pictures, 28, 28, channels], channel by channel."""
    found = digit_features.features(images)
    return Seen(found.features, images.shape[-1], found.probabilities)


def dimensions(shape: tuple[int, ...]) -> int:
    """Features of a picture (height, width, channels).

    Raises:
      UserError: pictures that hold no digits of 28×28.
    """
    if shape[:2] != (digit_features.SIDE, digit_features.SIDE):
        raise UserError(
            f"the digit classifier reads pictures of 28×28 pixels, these have {shape}: "
            f"judge them by pixels"
        )
    return 128 * shape[2]
