"""What a run leaves in its workdir, and who may write there.

config.json     `experiment`, `claim`, `family`, `medium`, `config`, `stamp`; hashes of
                the `data`
starts.json     `step` and `stamp` of each later start that was made with something else
metrics.jsonl   one JSON object a log step, `step` and `seconds` first
tensorboard/    the same as events
samples/        samples of fixed noise at each checkpoint, in their medium's format
end.json        how the last start ended, once it has: `verdict`, `step`, and whether
                it is `resumable`
summary.json    final metrics with floors and intervals, times, verdict
not_finite/     state and batch of a step that gave a number that is not finite
profile/        the trace of the steps that were asked for
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

from research import media
from research.errors import UserError
from research.settings import completed, differences
from research.training import animation
from research.training.events import Events
from research.training.files import (
    read_json,
    read_metrics,
    read_starts,
    refusing,
    replacing,
    write_json,
    write_text,
)
from research.training.hashing import by_name
from research.training.stamp import differing

# It warns of each NaN in lines of its own; a run's end says so in one.
logging.getLogger("tensorboardX.x2num").setLevel(logging.ERROR)
logging.getLogger("tensorboardX.summary").setLevel(logging.ERROR)

# A change of these leaves every step of a run as it is.
FREE_FIELDS = (
    "checkpoint_every",
    "data.placement",
    "log_every",
    "on_nan",
    "population",
    "profile",
    "score_pictures",
    "task.dynamic_rate",
    "validation_examples",
)


class Record:
    """The writer of one workdir; the lock falls when its process ends, however."""

    def __init__(self, workdir: Path, about: dict[str, Any]):
        """Takes the workdir for a run, new or continued.

        Args:
          workdir: made if need be.
          about: what config.json holds.

        Raises:
          UserError: not a folder that can be written, another run holds it, or it holds
            a run of other settings.
        """
        self.workdir = workdir
        self._stamp: dict[str, Any] = about.get("stamp", {})
        self._events: Events | None = None
        self._lines: IO[bytes] | None = None
        self._unwritten = b""  # lines that a full disk refused
        self._lock = _lock(workdir)
        try:
            config = workdir / "config.json"
            if config.exists():
                refuse_other_settings(workdir, read_json(config), about)
            else:
                write_json(config, about)
        except BaseException:
            self._lock.close()
            raise

    def rewind(self, step: int) -> float:
        """Drops what was recorded after `step`, and how the run ended that goes on.

        Returns:
          The seconds trained by then.
        """
        self._close_files()  # of a run that goes back within one start
        path = self.workdir / "metrics.jsonl"
        lines = [line for line in read_metrics(self.workdir) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_text(path, text)
        self._keep_stamp(step)
        with refusing(self.workdir):
            (self.workdir / "end.json").unlink(missing_ok=True)
            self._lines = path.open("ab", buffering=0)
            self._events = Events(self.workdir / "tensorboard", step + 1)
        return lines[-1]["seconds"] if lines else 0.0

    def _keep_stamp(self, step: int) -> None:
        """Writes what the steps after `step` are made with, if that is new."""
        first, *known = read_starts(self.workdir)
        kept = [start for start in known if start["step"] < step]
        if differing([first, *kept][-1]["stamp"], self._stamp):
            kept.append({"step": step, "stamp": self._stamp})
        if kept != known:
            write_json(self.workdir / "starts.json", kept)

    def metrics(self, step: int, seconds: float, values: dict[str, float]) -> None:
        """Appends one line, and the same to the events."""
        assert self._lines is not None
        assert self._events is not None
        line = {"step": step, "seconds": round(seconds, 3)} | values
        self._unwritten += json.dumps(line).encode() + b"\n"
        with contextlib.suppress(OSError):  # a full disk: the next line tries again
            self._append()
            self._events.scalars(step, values)

    def samples(self, step: int, samples: np.ndarray, dataset: ModuleType) -> None:
        """Writes samples for people, as their medium does, and as an array.

        Each file is whole or not there, whenever the process ends: what `has_samples`
        finds is never drawn again.
        """
        last = self._samples_of(step, dataset)
        new = last.parent / ".new"
        with contextlib.suppress(OSError):  # pictures are no reason to end a run
            shutil.rmtree(new, ignore_errors=True)  # of a start that was killed
            new.mkdir(parents=True)
            np.save(new / "final.npy", samples)
            media.of(dataset).write(samples, new / last.name, dataset)
            for file in sorted(new.iterdir(), key=lambda file: file.name == last.name):
                os.replace(file, last.with_name(file.name))
            new.rmdir()

    def has_samples(self, step: int, dataset: ModuleType) -> bool:
        """Whether `samples` has written those of a step."""
        return self._samples_of(step, dataset).exists()

    def names(self, step: int) -> set[str]:
        """The numbers that the lines of a step hold."""
        lines = [line for line in read_metrics(self.workdir) if line["step"] == step]
        return set().union(*lines)

    def _samples_of(self, step: int, dataset: ModuleType) -> Path:
        suffix = media.of(dataset).SUFFIX
        return self.workdir / "samples" / f"step_{step:08d}{suffix}"

    def ended(self, verdict: str, step: int) -> None:
        """Writes end.json: how this start ended, and whether another would go on."""
        resumable = verdict in ("preempted", "interrupted")
        values = {"verdict": verdict, "step": step, "resumable": resumable}
        write_json(self.workdir / "end.json", values)

    def has_diverged(self) -> bool:
        """Whether the last start of this run ended in numbers that are not finite."""
        file = self.workdir / "end.json"
        return file.exists() and read_json(file)["verdict"] == "nan"

    def animate(self) -> None:
        """Writes samples/training.gif, a frame a checkpoint, of PNG samples."""
        animation.of_checkpoints(self.workdir / "samples")

    def summary(self, values: dict[str, Any]) -> None:
        """Writes summary.json."""
        write_json(self.workdir / "summary.json", values)

    def not_finite(
        self, step: int, state: Any, batch: Any, rewinds: int
    ) -> OSError | None:
        """Writes what step `step` began from, for `research.training.replay`.

        Returns:
          Why it could not; then nothing of it is left.
        """
        file = self.workdir / "not_finite" / f"step_{step:08d}.npz"
        arrays = by_name({"state": state, "batch": batch})
        try:
            file.parent.mkdir(exist_ok=True)
            with replacing(file) as new, new.open("wb") as stream:
                np.savez_compressed(stream, rewinds=rewinds, **arrays)
        except OSError as error:
            return error
        return None

    def close(self) -> None:
        """Flushes, and gives the workdir back."""
        self._close_files()
        self._lock.close()

    def _close_files(self) -> None:
        if self._lines is not None:
            with contextlib.suppress(OSError):
                self._append()
            self._lines.close()
            self._lines = None
        if self._events is not None:
            self._events.close()
            self._events = None

    def _append(self) -> None:
        """Writes the lines that are due, whole or not at all."""
        assert self._lines is not None
        size = os.fstat(self._lines.fileno()).st_size
        written = os.write(self._lines.fileno(), self._unwritten)
        if written < len(self._unwritten):
            os.ftruncate(self._lines.fileno(), size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._unwritten = b""


def refuse_other_settings(workdir: Path, old: dict, new: dict) -> None:
    """Raises UserError where two runs differ in a setting that matters.

    Args:
      workdir: of the old one.
      old: its config.json.
      new: the same of the new one; `data`, for which it has to be read, may be missing.
    """
    found = differences(completed(old["config"]), new["config"])
    for name in [n for n in ("experiment", "data") if n in new]:
        found |= differences(old[name], new[name], name)
    changes = [
        f"{name} {before!r} → {after!r}"
        for name, (before, after) in found.items()
        if name not in FREE_FIELDS
    ]
    if changes:
        raise UserError(
            f"{workdir} holds a run of other settings ({'; '.join(changes)}): give the "
            f"same settings to continue it, or another --workdir"
        )


def _lock(workdir: Path) -> IO[str]:
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = (workdir / ".lock").open("w")
    except OSError as error:
        raise UserError(
            f"--workdir {workdir} cannot be written ({error.strerror}): name a folder "
            f"that you may write"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise UserError(
            f"another run is writing to {workdir}: wait for it, or give another "
            f"--workdir"
        ) from None
    return lock
