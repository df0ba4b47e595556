"""Noise where `stacked_digits` has digits: what times a step needs no data set."""

from pathlib import Path

import numpy as np

from research.data.stacked_digits import EXAMPLES, FEATURES, IMAGE_SHAPE, LABELS, batch
from research.sources.split import Split, fingerprint

__all__ = ["FEATURES", "IMAGE_SHAPE", "LABELS", "batch", "load"]
DIGITS = {"train": 4000, "test": 1000}


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """As stacked_digits.load; reads no file."""
    del data_dir
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (DIGITS[split], 28, 28, 1), np.uint8)
    label = random.integers(0, 10, DIGITS[split], np.int32)
    name = fingerprint({}, "random_digits")
    return Split({"image": image, "label": label}, EXAMPLES[split], name)
