"""Any pictures by their colours in at most 8×8 fields: means over the fields' pixels.

No class is known, and what is finer than a field is not seen: enough to tell a collapse
and rough likeness, not to tell good pictures from better ones.
"""

import numpy as np

from research.features import Seen

NAME = "pixel"
TITLE = "means of at most 8×8 fields"
CLASSES = False
FIELDS = 8  # along each side


def see(images: np.ndarray) -> Seen:
    """uint8 [pictures, height, width, channels] → means in [0, 1]."""
    means = _means(_means(images.astype(np.float32) / 255, 1), 2)
    return Seen(means.reshape(len(images), -1).astype(np.float32))


def dimensions(shape: tuple[int, ...]) -> int:
    """Features of a picture (height, width, channels)."""
    height, width, channels = shape
    return min(FIELDS, height) * min(FIELDS, width) * channels


def _means(images: np.ndarray, axis: int) -> np.ndarray:
    """Means over runs of an axis, as equal in length as whole pixels can be."""
    size = images.shape[axis]
    starts = np.arange(min(FIELDS, size)) * size // min(FIELDS, size)
    lengths = np.diff([*starts, size])
    shape = [-1 if i == axis else 1 for i in range(images.ndim)]
    return np.add.reduceat(images, starts, axis=axis) / lengths.reshape(shape)
