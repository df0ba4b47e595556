"""The folder on this machine that stands for a workdir, wherever that is."""

import hashlib
import json
import os
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etils import epath

from launch.buckets.mirror import LEASE, Mirror
from research.errors import UserError

EVERY = 30.0  # seconds between copies to the bucket
STALE = 600.0  # seconds after which a lease that nobody renews has fallen


def reading(workdir: str | Path) -> Path:
    """A folder with what is in a workdir: itself, or a bucket's, copied here.

    Raises:
      UserError: a bucket that cannot be read.
    """
    if not is_bucket(workdir):
        return Path(workdir)
    local = _local(str(workdir))
    with _told(str(workdir), "read"):
        Mirror(epath.Path(str(workdir)), local).pull()
    return local


@contextmanager
def training(workdir: str | Path) -> Iterator[Path]:
    """A folder to train in; a bucket's is copied back while the block runs.

    Raises:
      UserError: a bucket that cannot be written, or another run that writes there.
    """
    if not is_bucket(workdir):
        yield Path(workdir)
        return
    name, remote = str(workdir), epath.Path(str(workdir))
    mirror, me = Mirror(remote, _local(name)), uuid.uuid4().hex
    with _told(name, "written"):
        remote.mkdir(parents=True, exist_ok=True)
        _take(remote, name, me)
        mirror.pull()
    over = threading.Event()

    def copies() -> None:
        while not over.wait(EVERY):
            try:
                mirror.push()
                _renew(remote, me)
            except Exception as error:  # the next one tries again, the last one raises
                line = (str(error).splitlines() or [type(error).__name__])[0]
                print(f"{name} could not be written just now: {line}", file=sys.stderr)

    thread = threading.Thread(target=copies, daemon=True)
    thread.start()
    try:
        yield mirror.local
    finally:
        over.set()
        thread.join()
        with _told(name, "written"):
            mirror.push()
            (remote / LEASE).unlink(missing_ok=True)


def is_bucket(workdir: str | Path) -> bool:
    """Whether a workdir is an address, such as gs://BUCKET/FOLDER."""
    return "://" in str(workdir)


def _local(name: str) -> Path:
    """The same folder for the same address, so that a restart finds its files."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    stem = re.sub(r"[^\w.-]+", "_", name.rstrip("/").rpartition("/")[2])
    folder = Path(cache) / "gan-lstm-lab" / "buckets" / f"{stem}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _take(remote: epath.Path, name: str, me: str) -> None:
    """Writes the lease. A bucket cannot refuse the later of two: both read it again."""
    lease = remote / LEASE
    if lease.exists():
        holder = json.loads(lease.read_text())
        age = time.time() - holder["time"]
        if age < STALE:
            raise UserError(
                f"another run is writing to {name}, on {holder['host']}, last seen "
                f"{age:.0f} s ago: wait for it, give another --workdir, or, if it was "
                f"killed, wait until {STALE / 60:.0f} minutes are over"
            )
    _renew(remote, me)
    if json.loads(lease.read_text())["run"] != me:
        raise UserError(f"another run has just begun to write to {name}: wait for it")


def _renew(remote: epath.Path, me: str) -> None:
    about = {"run": me, "host": socket.gethostname(), "time": time.time()}
    (remote / LEASE).write_text(json.dumps(about))


@contextmanager
def _told(name: str, what: str) -> Iterator[None]:
    """A bucket's own errors in one line."""
    try:
        yield
    except UserError:
        raise
    except KeyError as error:
        raise UserError(
            f"--workdir {name}: {error} is no kind of bucket: gs://"
        ) from None
    except ImportError:
        raise UserError(
            f"{name} needs gcsfs: `launch/run` installs it with a workdir of gs://, or "
            f"pip install -e '.[bucket]'"
        ) from None
    except Exception as error:  # gcsfs', google-auth's and aiohttp's own
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{name} cannot be {what} ({line}): is the name right, and may this "
            f"account do that?"
        ) from error
