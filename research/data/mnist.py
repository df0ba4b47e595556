"""MNIST: 60,000 handwritten digits to train, 10,000 held out, 28×28×1; a download.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
"""

from pathlib import Path

from research.sources import order, source
from research.sources.idx import IdxFiles
from research.sources.split import Split
from research.sources.stock import stock

IMAGE_SHAPE = (28, 28, 1)
LABELS = 10
EXAMPLES = {"train": 60_000, "test": 10_000}
FEATURES = "digits"


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """The pictures of "train" or "test"; see research.sources.source.load."""
    return source.load(stock("mnist", IdxFiles), split, data_dir)


batch = order.batch
