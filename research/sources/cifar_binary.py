"""The file format of CIFAR: a gzipped tar of records, labels first, then the pixels.

A record is one byte a label and 3,072 of the picture, colour by colour (Krizhevsky
2009).
"""

import tarfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image

_SHAPE = (3, 32, 32)  # channels, height, width


class CifarFiles:
    """Makes a stock builder read its tar file without TensorFlow: a mixin for it."""

    _cifar_info: Any  # of the stock builder: address, names of files and labels
    info: Any

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        stock = self._cifar_info
        path = dl_manager.download(stock.url)
        with tarfile.open(path) as archive:

            def member(name: str) -> bytes:
                file = archive.extractfile(stock.prefix + name)
                assert file is not None  # the archive's checksum is right
                return file.read()

            for key, file in zip(stock.label_keys, stock.label_files, strict=True):
                self.info.features[key].names = member(file).decode().split()
            splits = {
                "train": b"".join(member(name) for name in stock.train_files),
                "test": b"".join(member(name) for name in stock.test_files),
            }
        return {
            name: self._generate_examples(name, data) for name, data in splits.items()
        }

    def _generate_examples(
        self, split: str, data: bytes
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        keys = self._cifar_info.label_keys
        records = np.frombuffer(data, np.uint8).reshape(-1, len(keys) + np.prod(_SHAPE))
        for index, record in enumerate(records):
            pixels = record[len(keys) :].reshape(_SHAPE).transpose(1, 2, 0)
            # A PIL image, because tfds encodes a NumPy array with TensorFlow.
            image = PIL.Image.fromarray(np.ascontiguousarray(pixels))
            labels = dict(zip(keys, record.tolist(), strict=False))
            yield index, {"id": f"{split}_{index:05d}", "image": image} | labels
