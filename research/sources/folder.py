"""The folder that holds prepared data: where it is, and who may write into it now."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from research.errors import UserError
from research.sources.users import expanded

DEFAULT = Path("~/tensorflow_datasets")  # as tensorflow-datasets has it


def data_folder(data_dir: str | Path | None = None) -> Path:
    """The folder of all data sets: the argument, else TFDS_DATA_DIR, else DEFAULT.

    Raises:
      UserError: it is not a folder, or a place that is not on a file system; ~ is
        nobody's.
    """
    named = str(data_dir or os.environ.get("TFDS_DATA_DIR") or DEFAULT)
    if "://" in named:
        raise UserError(
            f"data_dir {named!r} is not a folder on a file system; copy the data sets "
            "to one and name that"
        )
    folder = expanded(Path(named), "--data.folder or TFDS_DATA_DIR").absolute()
    for part in (folder, *folder.parents):
        if part.exists():
            if not part.is_dir():
                raise UserError(
                    f"data_dir {str(folder)!r} cannot be used: {str(part)!r} is a "
                    "file; name a folder with --data.folder or TFDS_DATA_DIR"
                )
            break
    return folder


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Waits until no other process prepares `name` in this folder, then holds it.

    The lock goes with the process, so that a killed one leaves none behind.

    Raises:
      UserError: the folder cannot be written or its file system has no locks.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / f".{name}.lock", "w")  # noqa: SIM115
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        raise UserError(
            f"cannot prepare {name} in {str(folder)!r}: {error.strerror}; name a "
            "folder that can be written with --data.folder or TFDS_DATA_DIR"
        ) from error
    with file:
        yield
