"""A split as arrays: every record read and decoded once, then kept beside them.

The kept file is `decoded-SPLIT-RECORDS-CONTENT.npy`: RECORDS is the start of the
SHA-256 of the record files that it was made from, CONTENT that of its arrays. So one
that is stale or damaged is known by its name, and is made again.
"""

import contextlib
import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np

from research.sources.split import Split, fingerprint

_log = logging.getLogger(__name__)
_CHUNK = 4096  # records decoded at a time


class DamagedError(Exception):
    """A prepared data set cannot be read; the message says which file and why."""


def read(builder: Any, split: str) -> Split:
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
        kept = _kept(file)
        if kept is not None:
            return kept
    arrays = _decoded(builder, split)
    result = Split(arrays, len(arrays["label"]), fingerprint(arrays))
    _keep(folder / f"{start}{result.fingerprint[:16]}.npy", arrays)
    return result


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
        source: Any = tfds.data_source(
            builder.name,
            split=split,
            data_dir=builder.data_dir_root,
            download=False,
            # Without it tfds takes the format to be TFRecord, which needs TensorFlow.
            builder_kwargs={"file_format": "array_record"},
        )
        for start in range(0, len(source), _CHUNK):
            rows = range(start, min(start + _CHUNK, len(source)))
            records = source.__getitems__(rows)
            images.append(np.stack([record["image"] for record in records]))
            labels.append(np.array([record["label"] for record in records], np.int32))
        return {"image": np.concatenate(images), "label": np.concatenate(labels)}
    except Exception as error:  # Riegeli, protobuf, PIL and tfds: each has its own
        place = f"split {split!r} in {str(builder.data_path)!r}"
        raise DamagedError(f"{place}: {first_line(error)}") from error


def _kept(file: Path) -> Split | None:
    """What a kept file holds; None, and the file is gone, if it is damaged."""
    try:
        table = np.load(file, allow_pickle=False)
        arrays = {name: np.ascontiguousarray(table[name]) for name in table.dtype.names}
        content = fingerprint(arrays)
        if file.stem.endswith(f"-{content[:16]}"):
            return Split(arrays, len(table), content)
    except (OSError, EOFError, ValueError, TypeError, SyntaxError, MemoryError):
        pass  # a broken header can ask for anything
    with contextlib.suppress(OSError):
        file.unlink()
    return None


def _keep(target: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the arrays as one table, under its name only when it is complete."""
    layout = [(name, a.dtype.str, a.shape[1:]) for name, a in sorted(arrays.items())]
    table = np.empty(len(arrays["label"]), layout)
    for name, array in arrays.items():
        table[name] = array
    partial = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        with open(partial, "wb") as file:
            np.save(file, table)
        partial.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        _log.warning("%s: not kept (%s), decoded at every start", target, error)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
