"""A folder here and its copy in a bucket.

A checkpoint counts in the bucket only when it is there whole: a mark is written after
its files, and taken away before them. What was recorded goes before the checkpoint, so
that whoever reads the checkpoint has every line before it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epath

CHECKPOINTS = "checkpoints"
MARK = ".whole"  # after a step's name
LEASE = ".lease"  # in the bucket alone


class Mirror:
    """One workdir."""

    def __init__(self, remote: epath.Path, local: Path):
        self.remote, self.local = remote, local
        self._sent: dict[str, tuple[int, int]] = {}  # time and size of what was copied

    def pull(self) -> None:
        """Brings what the bucket has and this folder lacks; whole checkpoints only."""
        steps = self._remote_steps()
        for file in walk(self.remote):
            name = relative(file, self.remote)
            if name == LEASE or name.endswith(MARK):
                continue
            first, _, rest = name.partition("/")
            if first == CHECKPOINTS and rest.partition("/")[0] not in steps:
                continue
            here = self.local / name
            if not here.exists() or here.stat().st_size != file.stat().length:
                here.parent.mkdir(parents=True, exist_ok=True)
                file.copy(here, overwrite=True)
            self._sent[name] = _state(here)

    def push(self) -> None:
        """Copies what is new here, and takes checkpoints away that are gone here."""
        place = self.local / CHECKPOINTS
        steps = {d.name for d in place.glob("*") if d.name.isdigit()}
        for file in sorted(self.local.rglob("*")):
            name = file.relative_to(self.local).as_posix()
            ours = name == ".lock" or name.partition("/")[0] == CHECKPOINTS
            if file.is_file() and not ours:
                self._send(file, name)
        there = self._remote_steps()
        for step in sorted(steps - there, key=int):
            for file in sorted((place / step).rglob("*")):
                if file.is_file():
                    self._send(file, file.relative_to(self.local).as_posix())
            (self.remote / CHECKPOINTS / f"{step}{MARK}").write_text(step)
        for step in there - steps:
            (self.remote / CHECKPOINTS / f"{step}{MARK}").unlink()
            (self.remote / CHECKPOINTS / step).rmtree()

    def _send(self, file: Path, name: str) -> None:
        try:
            now = _state(file)
        except FileNotFoundError:  # a temporary one that has its last name by now
            return
        if self._sent.get(name) == now:
            return
        target = self.remote / name
        target.parent.mkdir(parents=True, exist_ok=True)
        epath.Path(file).copy(target, overwrite=True)
        self._sent[name] = now

    def _remote_steps(self) -> set[str]:
        place = self.remote / CHECKPOINTS
        if not place.exists():
            return set()
        names = (entry.name for entry in place.iterdir())
        return {n.removesuffix(MARK) for n in names if n.endswith(MARK)}


def walk(folder: Any) -> Iterator[Any]:
    """Every file below; a bucket's own recursive search is switched off in epath."""
    if not folder.exists():
        return
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from walk(entry)
        else:
            yield entry


def relative(file: Any, folder: Any) -> str:
    """The part of a path below a folder."""
    return str(file).removeprefix(str(folder)).strip("/")


def _state(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_mtime_ns, found.st_size
