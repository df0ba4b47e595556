"""The way to a data set: prepare it if it is not there, read it, mend it if damaged."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from research.errors import UserError
from research.sources import decoded, silence
from research.sources.decoded import DamagedError, first_line
from research.sources.folder import data_folder, locked
from research.sources.split import Split, refuse_unknown

_log = logging.getLogger(__name__)


class Source(NamedTuple):
    """Where one data set comes from."""

    name: str  # as tensorflow-datasets has it
    builder: Callable[[], type]  # gives the class; imports tensorflow-datasets
    ships_in: str | None = None  # package with the data: damage is mended from it
    fingerprints: Mapping[str, str] = MappingProxyType({})  # of splits, where known
    # Called before a preparation; raises UserError if that cannot succeed.
    check: Callable[[type, Path], None] | None = None


def load(source: Source, split: str, data_dir: str | Path | None = None) -> Split:
    """One split, prepared in `data_dir` first if it is not there.

    Args:
      source: of the data set.
      split: "train" or "test" (held out).
      data_dir: folder of all data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets.

    Raises:
      UserError: no such split or folder; the data set cannot be prepared; it is
        damaged and ships in no package.
    """
    refuse_unknown(source.name, split)
    folder = data_folder(data_dir)
    with silence.quiet():
        if not _place(source, folder).exists():
            _prepare(source, folder)
        try:
            return _read(source, folder, split)
        except DamagedError as damage:
            return _mended(source, folder, split, damage)


def _place(source: Source, folder: Path) -> Path:
    return folder / source.name / str(source.builder().VERSION)


def _prepare(source: Source, folder: Path) -> None:
    """Writes the records, unless another process does so while this one waits."""
    from tensorflow_datasets.core.download import DownloadConfig
    from tensorflow_datasets.core.download.download_manager import (
        NonMatchingChecksumError,
    )
    from tensorflow_datasets.core.download.util import DownloadError

    with locked(folder, source.name):
        if _place(source, folder).exists():
            return
        if source.check is not None:
            source.check(source.builder(), folder)
        builder = source.builder()(data_dir=folder, file_format="array_record")
        # A folder for each name: mnist and fashion_mnist call their files the same.
        manual = folder / "downloads" / "manual" / source.name
        config = DownloadConfig(manual_dir=manual)
        failures = (OSError, RuntimeError, DownloadError, NonMatchingChecksumError)
        try:
            builder.download_and_prepare(download_config=config)
        except failures as error:
            raise UserError(
                f"cannot prepare {source.name} in {str(folder)!r}: {first_line(error)}"
            ) from error


def _read(source: Source, folder: Path, split: str) -> Split:
    """A prepared split; DamagedError if it cannot be had."""
    place = _place(source, folder)
    try:
        builder = source.builder()(data_dir=folder)
        formats = {form.value for form in builder.info.available_file_formats()}
    except Exception as error:  # protobuf's, tfds' and others: broken JSON, no splits
        raise DamagedError(
            f"{str(place)!r} cannot be opened: {first_line(error)}"
        ) from error
    if split not in builder.info.splits:
        raise DamagedError(f"{str(place)!r}: no split {split!r} in a dataset_info.json")
    if "array_record" not in formats:
        raise UserError(
            f"{str(place)!r} holds {', '.join(sorted(formats))} files, and reading "
            "them needs TensorFlow; name another folder with --data.folder"
        )
    found = decoded.read(builder, split)
    if source.fingerprints.get(split, found.fingerprint) != found.fingerprint:
        raise DamagedError(f"{str(place)!r} holds other data in its split {split!r}")
    return found


def _mended(source: Source, folder: Path, split: str, damage: DamagedError) -> Split:
    """Makes a damaged data set again from its package; refuses one that has none."""
    place = _place(source, folder)
    if source.ships_in is None:
        raise UserError(
            f"{source.name} is damaged: {damage}; delete {str(place)!r} and start "
            "again to prepare it anew"
        ) from damage
    with locked(folder, f"mend-{source.name}"):
        try:
            return _read(source, folder, split)  # another process has mended it
        except DamagedError:
            aside = place.with_name(f"damaged-{time.time_ns()}")
            place.rename(aside)
        _log.warning(
            "%s was damaged (%s): made again from %s; the old files are in %s",
            source.name, damage, source.ships_in, aside,
        )  # fmt: skip
        _prepare(source, folder)
    try:
        return _read(source, folder, split)
    except DamagedError as error:
        raise UserError(f"{source.name} was made again, but {error}") from error
