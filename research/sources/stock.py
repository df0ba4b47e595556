"""The well-known data sets of tensorflow-datasets, prepared without TensorFlow.

A stock builder downloads by itself, but reads what came with TensorFlow. So it gets
a mixin that reads the same files with NumPy and PIL. Name, version, addresses,
checksums and layout on disk stay: either tool reads what the other has prepared.
"""

import functools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from research.errors import UserError
from research.sources.network import unreachable
from research.sources.source import Source

SHIPPED = "digits or stacked_digits"  # data sets that need no network

_log = logging.getLogger(__name__)


class Installed(NamedTuple):
    """A data set's files that a system package puts into place."""

    package: str
    folder: Path
    contents: Mapping[str, str]  # file name -> SHA-256 of what is in it, uncompressed


def stock(name: str, files: type, installed: Installed | None = None) -> Source:
    """The source of a data set that tensorflow-datasets knows.

    Args:
      name: as tensorflow-datasets has it.
      files: mixin that reads its files, such as idx.IdxFiles.
      installed: files that are read, where they are installed, and not downloaded.
    """
    if installed is not None and installed.folder.is_dir():
        found = functools.partial(
            _builder, name, files, installed.folder, tuple(installed.contents.items())
        )
        return Source(name, found, ships_in=installed.package, check=_announce)
    also = f"install {installed.package}, " if installed is not None else ""
    found = functools.partial(_builder, name, files)
    return Source(name, found, check=functools.partial(_check, also))


@functools.cache
def _builder(
    name: str,
    files: type,
    installed: Path | None = None,
    contents: tuple[tuple[str, str], ...] = (),
) -> type:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    stock_class: Any = tfds.builder_cls(name)
    members = {
        "__module__": stock_class.__module__,
        "name": stock_class.name,
        "pkg_dir_path": stock_class.pkg_dir_path,
        "installed": installed,
        "contents": dict(contents),
    }
    with registered.skip_registration():
        return type(stock_class.__name__, (files, stock_class), members)


def _check(also: str, builder: Any, folder: Path) -> None:
    """Refuses in seconds what would fail after minutes of trying to download."""
    from tensorflow_datasets.core.download.resource import get_dl_fname

    name, downloads = builder.name, folder / "downloads"
    manual = downloads / "manual" / name
    missing = {}
    for url, known in builder.url_infos.items():
        cached = get_dl_fname(url, known.checksum)
        places = manual / known.filename, downloads / name / cached, downloads / cached
        if not any(place.exists() for place in places):
            missing[url] = known.filename
    reason = unreachable(missing) if missing else None
    if reason is not None:
        raise UserError(
            f"{name} is not in {str(folder)!r} and there is no network to download it "
            f"from ({reason}): put {', '.join(missing.values())} into "
            f"{str(manual)!r}, {also}or use {SHIPPED}, which need no network"
        )
    _announce(builder, folder)


def _announce(builder: Any, folder: Path) -> None:
    _log.warning("%s: prepared once in %s, about a minute", builder.name, folder)
