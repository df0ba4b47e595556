"""The folders on this machine that stand for a bucket's, and what is known of them."""

import contextlib
import fcntl
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from launch._cache import cache
from research.errors import UserError


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


@contextlib.contextmanager
def held(address: str, use: str, wait: bool) -> Iterator[Folder | None]:
    """The folder for an address, the same each time; no other process holds it inside.

    Args:
      address: gs://BUCKET/FOLDER.
      use: "read" or "write", each with a folder of its own.
      wait: for another process that holds it; else None is given.

    Raises:
      UserError: the cache's folder cannot be written or locked.
    """
    path = _place(address, use)
    with contextlib.ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            file = path.with_name(f"{path.name}.json")
            notes = stack.enter_context(file.open("a+"))
            fcntl.flock(notes, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            notes.seek(0)
            found = Folder(path, notes)
        except BlockingIOError:
            found = None
        except OSError as error:  # of a disk that takes no locks, too
            raise UserError(
                f"{address} is worked on by way of {path.parent}, which cannot be "
                f"written or locked ({error.strerror}): set XDG_CACHE_HOME to a folder "
                f"of this machine's own disk"
            ) from None
        yield found


def _place(address: str, use: str) -> Path:
    digest = hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:12]
    stem = re.sub(r"[^\w.-]+", "_", address.rstrip("/").rpartition("/")[2])
    return cache() / "buckets" / use / f"{stem}-{digest}"
