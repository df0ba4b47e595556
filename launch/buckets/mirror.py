"""A folder here and its copy in a bucket.

A checkpoint counts in the bucket only when it is there whole: a mark is written after
its files, and taken away before them. What was recorded goes before the checkpoint, so
that whoever reads the checkpoint has every line before it.
"""

import base64
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec

from research.training.files import replacing

MARK = ".whole"  # after a step's name
LEASE = ".lease"  # in the bucket alone
# A run's are in `checkpoints`, a comparison's or population's in MEMBER/checkpoints.
STEP = re.compile(r"((?:.+?/)?checkpoints/\d+)(/|\.whole$)")
OF_CHECKPOINTS = re.compile(r"(.+/)?checkpoints/")
# Ends of the names of files and folders that are of this machine alone: a run's lock,
# and what `research.training` is still writing.
NEVER_SENT = (".lock", ".new")


class Mirror:
    """One workdir."""

    def __init__(self, address: str, local: Path):
        """Args:
        address: gs://BUCKET/FOLDER.
        local: the folder here.
        """
        # What is listed may have changed since: another machine writes there.
        self.files, root = fsspec.core.url_to_fs(address, use_listings_cache=False)
        self._root, self.local = root.rstrip("/"), local
        self._sent: dict[str, tuple[int, int]] = {}  # time and size of what was copied
        self._whole: set[str] = set()  # checkpoints there, such as a/checkpoints/40
        self._partial: set[str] = set()

    def path(self, name: str) -> str:
        """Where a file of this name is in the bucket."""
        return f"{self._root}/{name}"

    def names(self) -> dict[str, dict[str, Any]]:
        """The bucket's files and what it says of each; whole checkpoints only."""
        found = {
            path.removeprefix(self._root).strip("/"): about
            for path, about in self.files.find(self._root, detail=True).items()
            if not path.endswith("/")  # a folder made by hand in Google's console
        }
        marks = {name.removesuffix(MARK) for name in found if name.endswith(MARK)}
        steps = {step for name in found if (step := step_of(name))}
        self._whole, self._partial = steps & marks, steps - marks
        return {
            name: about
            for name, about in found.items()
            if name != LEASE and not name.endswith(MARK) and self._counts(name)
        }

    def pull(self, names: dict[str, dict[str, Any]]) -> None:
        """Brings those of the bucket's files that are not here with this content."""
        for name, about in names.items():
            here = self.local / name
            if not is_same(here, about):
                here.parent.mkdir(parents=True, exist_ok=True)
                with replacing(here) as new:
                    self.files.get_file(self.path(name), str(new))
            self._sent[name] = _state(here)

    def clear(self, names: Iterable[str]) -> None:
        """Takes files away here, and the folders that are empty then."""
        for name in names:
            file = self.local / name
            file.unlink(missing_ok=True)
            for folder in file.parents:
                if folder == self.local or not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()

    def compare(self, names: dict[str, dict[str, Any]]) -> None:
        """Learns which of the files here need not be sent."""
        for name, about in names.items():
            if is_same(self.local / name, about):
                self._sent[name] = _state(self.local / name)

    def here(self) -> list[str]:
        """The files of this folder that are a run's, sorted."""
        if not self.local.is_dir():  # no reason to empty the bucket
            raise FileNotFoundError(f"{self.local} is gone")
        # A checkpoint may go meanwhile, for which `os.walk` does not stop.
        files = (Path(at, name) for at, _, some in os.walk(self.local) for name in some)
        names = (f.relative_to(self.local) for f in files if f.is_file())
        return sorted(name.as_posix() for name in names if not _is_never_sent(name))

    def push(self) -> None:
        """Copies what is new here, and takes away what was sent and is gone here."""
        steps: dict[str, list[str]] = {}
        here = self.here()
        for name in here:
            if step := step_of(name):
                steps.setdefault(step, []).append(name)
            elif self._counts(name):
                self._send(name)
        # The newest first: a notice may leave time for that one alone.
        for step in sorted(steps, key=lambda step: (len(step), step), reverse=True):
            if step not in self._whole or any(map(self._is_new, steps[step])):
                self._replace(step, steps[step])
        for step in (self._whole | self._partial) - steps.keys():
            self._remove(step)
        for name in self._sent.keys() - here:
            if not step_of(name):
                self._remove_file(name)

    def _replace(self, step: str, names: list[str]) -> None:
        if step in self._whole | self._partial:
            self._remove(step)
        self._partial.add(step)
        files = [self.local / name for name in names]
        try:
            states = map(_state, files)
            sent = dict(zip(names, states, strict=True))
            self.files.put(list(map(str, files)), list(map(self.path, names)))
        except FileNotFoundError:
            if all(file.exists() for file in files):  # it is the bucket that is not
                raise
            return  # orbax has taken it away meanwhile
        self.files.pipe_file(self.path(step + MARK), b"")
        self._sent |= sent
        self._partial.discard(step)
        self._whole.add(step)

    def _remove(self, step: str) -> None:
        for path in (self.path(step + MARK), self.path(step)):
            if self.files.exists(path):
                self.files.rm(path, recursive=True)
        self._whole.discard(step)
        self._partial.discard(step)
        for name in [name for name in self._sent if step_of(name) == step]:
            del self._sent[name]

    def _remove_file(self, name: str) -> None:
        """Of a run that went back, say: what told of its end is true no more."""
        if (self.local / name).exists():  # it came since the folder was read
            return
        if self.files.exists(self.path(name)):
            self.files.rm(self.path(name))
        del self._sent[name]

    def _is_new(self, name: str) -> bool:
        try:
            return self._sent.get(name) != _state(self.local / name)
        except FileNotFoundError:
            return False

    def _send(self, name: str) -> None:
        """Copies a file as it is at one moment, for it may grow."""
        file = self.local / name
        if not self._is_new(name):
            return
        try:
            now, content = _state(file), file.read_bytes()
        except FileNotFoundError:  # a temporary one that has its last name by now
            return
        self.files.pipe_file(self.path(name), content)
        self._sent[name] = now

    def _counts(self, name: str) -> bool:
        """Whether a file is no part of a checkpoint, or of a whole one."""
        return not OF_CHECKPOINTS.match(name) or step_of(name) in self._whole


def step_of(name: str) -> str:
    """The checkpoint that a file belongs to, such as a/checkpoints/40; "" for none."""
    found = STEP.match(name)
    return found[1] if found else ""


def _is_never_sent(name: Path) -> bool:
    return any(part.endswith(NEVER_SENT) for part in name.parts)


def is_same(file: Path, about: dict[str, Any]) -> bool:
    """Whether a file has the content of the bucket's; no, where that tells no hash."""
    if "md5Hash" not in about or not file.is_file():
        return False
    if about["size"] != file.stat().st_size:
        return False
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "md5").digest()
    return base64.b64encode(digest).decode() == about["md5Hash"]


def _state(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_mtime_ns, found.st_size
