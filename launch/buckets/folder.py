"""The folders on this machine that stand for a bucket's, and what is known of them."""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


class Folder:
    """One of them, held by this process."""

    def __init__(self, path: Path, notes: IO[str]):
        self.path, self._notes = path, notes
        try:
            self.noted: dict[str, Any] = json.loads(notes.read())
        except json.JSONDecodeError:  # none yet, or a kill fell into the writing
            self.noted = {}

    def note(self, **values: Any) -> None:
        """Keeps values beside the folder, for the next who holds it."""
        self.noted |= values
        self._notes.seek(0)
        self._notes.truncate()
        self._notes.write(json.dumps(self.noted))
        self._notes.flush()


@contextmanager
def held(address: str, use: str, wait: bool) -> Iterator[Folder | None]:
    """The folder for an address, the same each time; no other process holds it inside.

    Args:
      address: gs://BUCKET/FOLDER.
      use: "read" or "write", each with a folder of its own.
      wait: for another process that holds it; else None is given.
    """
    path = _place(address, use)
    path.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.json").open("a+") as notes:
        try:
            fcntl.flock(notes, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
            return
        notes.seek(0)
        yield Folder(path, notes)


def _place(address: str, use: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    digest = hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:12]
    stem = re.sub(r"[^\w.-]+", "_", address.rstrip("/").rpartition("/")[2])
    return Path(cache) / "gan-lstm-lab" / "buckets" / use / f"{stem}-{digest}"
