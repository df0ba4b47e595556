"""Fashion-MNIST: 60,000 pictures of clothes to train, 10,000 held out, 28×28×1.

From Debian's package dataset-fashion-mnist where that is installed, else a download.
Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset", 2017.
"""

from pathlib import Path

from research.sources import order, source
from research.sources.idx import IdxFiles
from research.sources.split import Split
from research.sources.stock import Installed, stock

IMAGE_SHAPE = (28, 28, 1)
LABELS = 10
EXAMPLES = {"train": 60_000, "test": 10_000}

# SHA-256 uncompressed. Debian left the file name out of the gzip header; with name and
# time (1504176627, 1504176606) put back, all four have the checksums of tfds.
_CONTENTS = {
    "train-images-idx3-ubyte.gz": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte.gz": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}


DEBIAN = Installed(
    "Debian's dataset-fashion-mnist",
    Path("/usr/share/datasets/fashion-mnist"),
    _CONTENTS,
)


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """The pictures of "train" or "test"; see research.sources.source.load."""
    return source.load(stock("fashion_mnist", IdxFiles, DEBIAN), split, data_dir)


batch = order.batch
