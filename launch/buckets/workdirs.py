"""The folder on this machine that stands for a workdir, wherever that is."""

import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launch.buckets.copies import Copies, CopyError, in_a_line
from launch.buckets.folder import Folder, held
from launch.buckets.lease import Lease
from launch.buckets.mirror import Mirror
from research.errors import UserError
from research.training.stop import StopRequest

TRIES = 3  # of a reading, beside a run that takes old checkpoints away


def reading(workdir: str | Path) -> Path:
    """A folder with what is in a workdir: itself, or a bucket's, copied here.

    A run on this machine has another folder, which this one leaves alone.

    Raises:
      UserError: a bucket that cannot be read.
    """
    refuse_kind(workdir)
    if not is_bucket(workdir):
        return Path(workdir)
    name = str(workdir)
    with _told(name, "read"), held(name, "read", wait=True) as folder:
        assert folder is not None
        mirror = Mirror(name, folder.path)
        for last in (*[False] * (TRIES - 1), True):
            try:
                _refresh(mirror, folder)
                break
            except FileNotFoundError:  # taken away since it was listed
                if last:
                    raise
    return folder.path


@contextmanager
def training(workdir: str | Path, stop: StopRequest | None = None) -> Iterator[Path]:
    """A folder to train in; a bucket's is copied back while the block runs.

    Args:
      workdir: a folder, or gs://BUCKET/FOLDER.
      stop: told of signals. After a notice the last copy has a limit.

    Raises:
      UserError: a bucket that cannot be written, or another run that writes there.
      CopyError: the last copy failed.
    """
    refuse_kind(workdir)
    if not is_bucket(workdir):
        yield Path(workdir)
        return
    name = str(workdir)
    with held(name, "write", wait=False) as folder:
        if folder is None:
            raise UserError(
                f"another run on this machine is writing to {name}: wait for it, or "
                f"give another --workdir"
            )
        with _told(name, "written"):
            mirror = Mirror(name, folder.path)
            run = folder.noted.setdefault("run", uuid.uuid4().hex)
            folder.note(run=run)  # before it is in the bucket
            lease = Lease(mirror, name, run)
            writer = lease.take(stop)
        copies = Copies(mirror, lease, name)
        try:
            with _told(name, "read"):
                _fetch(mirror, folder, writer)
            copies.begin()
            yield folder.path
        except BaseException:
            # What ended the run has the word, and its exit code: a mistake of the user
            # is none the next start mends.
            try:
                copies.finish(stop)
            except CopyError as late:
                print(late, file=sys.stderr)
            raise
        copies.finish(stop)


def refuse_kind(workdir: str | Path) -> None:
    """Raises UserError for an address of another kind: s3://…, or gs:/… by mistake."""
    kind, colon, rest = str(workdir).partition(":/")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", kind):
        return
    if kind != "gs" or not rest.startswith("/"):
        raise UserError(
            f"--workdir {workdir}: {kind}:/ is no kind of bucket: give "
            f"gs://BUCKET/FOLDER, or a folder"
        )


def is_bucket(workdir: str | Path) -> bool:
    """Whether a workdir is an address, such as gs://BUCKET/FOLDER."""
    return "://" in str(workdir)


def refuse(option: str, value: str | Path | None) -> None:
    """Raises UserError for an address where a file of this machine is meant."""
    if value is not None and str(value).startswith("gs:/"):  # as Path has gs://
        raise UserError(f"{option} {value}: a workdir may be on a bucket, this may not")


def _refresh(mirror: Mirror, folder: Folder) -> None:
    """Makes what was read earlier what the bucket has now."""
    names = mirror.names()
    before = set(folder.noted.get("names", []))
    folder.note(names=sorted(before | names.keys()))  # what may be here from now on
    mirror.pull(names)
    mirror.clear(before - names.keys())
    folder.note(names=sorted(names))


def _fetch(mirror: Mirror, folder: Folder, writer: str | None) -> None:
    """Makes the folder that of the newest run.

    Where the run that wrote last is this folder's own, it is newer than the bucket.
    """
    names = mirror.names()
    if writer == folder.noted["run"] and folder.noted.get("whole"):
        mirror.compare(names)
        return
    folder.note(whole=False)
    mirror.pull(names)
    mirror.clear(set(mirror.here()) - names.keys())
    folder.note(whole=True)


@contextmanager
def _told(name: str, what: str) -> Iterator[None]:
    """A bucket's own errors in one line."""
    try:
        yield
    except UserError:
        raise
    except ImportError:
        raise UserError(
            f"{name} needs gcsfs: `launch/run` installs it with a workdir of gs://, or "
            f"pip install -e '.[bucket]'"
        ) from None
    except Exception as error:  # gcsfs', google-auth's and aiohttp's own
        raise UserError(
            f"{name} cannot be {what} ({in_a_line(error)}): is the name right, and may "
            f"this account do that?"
        ) from error
