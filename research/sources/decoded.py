"""A split as arrays: every record read and decoded once, then kept beside them.

The kept file is `decoded-SPLIT-RECORDS-CONTENT.npy`: RECORDS is the start of the
SHA-256 of the record files it was made from, CONTENT that of the arrays in it. So a
stale or damaged one is known by its name, and is made again.
"""

import contextlib
import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np

from research.sources.split import fingerprint

_log = logging.getLogger(__name__)
_CHUNK = 4096  # records decoded at a time


class DamagedError(Exception):
    """A prepared data set cannot be read; the message says which file and why."""


def read(builder: Any, split: str) -> dict[str, np.ndarray]:
    """All of a prepared split: image uint8 [examples, h, w, c], label int32 [examples].

    Args:
      builder: of tensorflow-datasets, with array_record files in its data_path.
      split: a name.

    Raises:
      DamagedError: a file is missing or cannot be read to its end.
    """
    folder = Path(builder.data_path)
    records = _sha256([Path(file) for file in builder.info.splits[split].filepaths])
    start = f"decoded-{split}-{records[:16]}-"
    for file in folder.glob(f"{start}*.npy"):
        arrays = _kept(file)
        if arrays is not None:
            return arrays
    arrays = _decoded(builder, split)
    _keep(folder, start, arrays)
    return arrays


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        try:
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DamagedError(f"{str(path)!r}: {error.strerror}") from error
    return digest.hexdigest()


def _decoded(builder: Any, split: str) -> dict[str, np.ndarray]:
    """Reads every record, so that damage anywhere shows, whatever is used later."""
    import tensorflow_datasets as tfds

    images, labels = [], []
    try:
        source = tfds.data_source(
            builder.name,
            split=split,
            data_dir=builder.data_path.parent.parent,
            download=False,
            # Without it tfds takes the format to be TFRecord, which needs TensorFlow.
            builder_kwargs={"file_format": "array_record"},
        )
        for start in range(0, len(source), _CHUNK):
            rows = range(start, min(start + _CHUNK, len(source)))
            records = source.__getitems__(rows)
            images.append(np.stack([record["image"] for record in records]))
            labels.append(np.array([record["label"] for record in records], np.int32))
    except Exception as error:  # Riegeli, protobuf, PIL and tfds: each has its own
        reason = str(error).strip().partition("\n")[0]
        raise DamagedError(f"{builder.data_path}, split {split}: {reason}") from error
    return {"image": np.concatenate(images), "label": np.concatenate(labels)}


def _kept(file: Path) -> dict[str, np.ndarray] | None:
    """The arrays in a kept file; None, and the file is gone, if it is damaged."""
    try:
        table = np.load(file, allow_pickle=False)
        arrays = {name: np.ascontiguousarray(table[name]) for name in table.dtype.names}
        if fingerprint(arrays)[:16] == file.stem.rpartition("-")[2]:
            return arrays
    except (OSError, EOFError, ValueError, TypeError, SyntaxError):
        pass
    with contextlib.suppress(OSError):
        file.unlink()
    return None


def _keep(folder: Path, start: str, arrays: dict[str, np.ndarray]) -> None:
    """Writes the arrays as one table, under its name only when it is complete."""
    layout = [(name, a.dtype.str, a.shape[1:]) for name, a in sorted(arrays.items())]
    table = np.empty(len(arrays["label"]), layout)
    for name, array in arrays.items():
        table[name] = array
    target = folder / f"{start}{fingerprint(arrays)[:16]}.npy"
    partial = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        with open(partial, "wb") as file:
            np.save(file, table)
        partial.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        _log.warning("%s: not kept (%s), decoded at every start", target, error)
