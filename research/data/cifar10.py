"""CIFAR-10: 50,000 colour photographs to train, 10,000 held out, 32×32×3; a download.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from pathlib import Path

from research.sources import order, source
from research.sources.cifar_binary import CifarFiles
from research.sources.split import Split
from research.sources.stock import stock

IMAGE_SHAPE = (32, 32, 3)
LABELS = 10
EXAMPLES = {"train": 50_000, "test": 10_000}


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """The pictures of "train" or "test"; see research.sources.source.load."""
    return source.load(stock("cifar10", CifarFiles), split, data_dir)


batch = order.batch
