"""Checkpoints by orbax: committed whole or not at all, written in the background.

A checkpoint is the training state as numpy arrays, without a device axis, so that it
can be read on any number of devices, and the hash of it: what is read is what was
saved, or is not taken. Steps on disk that were not committed (the process was killed
while saving) are not seen, and are cleared by the next start that trains.
"""

import contextlib
import gc
import logging
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from research.errors import UserError
from research.training import processes
from research.training.hashing import by_name, state_hash

# It tells of damage in tracebacks; this module says so in a line.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


class DamagedError(Exception):
    """A committed checkpoint cannot be read, or holds other numbers than were saved."""


class Checkpoints:
    """The checkpoints of one run, newest last."""

    def __init__(
        self, folder: Path, keep: int = 3, made_with: dict[str, Any] | None = None
    ):
        """Opens or makes the folder.

        Args:
          folder: absolute path of the run's `checkpoints`.
          keep: how many of the newest steps stay.
          made_with: what is saved with each state of the machine, see
            `research.training.stamp.machine`.
        """
        self.folder, self._keep = folder.absolute(), keep
        self.made_with = made_with or {}
        self._manager = self._open()

    def steps(self) -> list[int]:
        """Committed steps, ascending."""
        return sorted(self._manager.all_steps())

    def save(
        self, step: int, state: Any, about: dict[str, int] | None = None
    ) -> str | None:
        """Starts to save a tree of numpy arrays; waits for a save under way.

        Of several processes, which all have the same state, the first one saves.

        Args:
          step: of the state.
          state: the tree.
          about: what else is to be known of the run at this step: see `about`.

        Returns:
          Why it could not, in a line; None if all is well so far: see `problem`.
        """
        try:
            if processes.is_first() and step not in self._manager.all_steps():
                self._refuse_full_disk(state)
                made = {"made_with": self.made_with, "hash": state_hash(state)}
                told = {**(about or {}), **made}
                items = {
                    "state": ocp.args.StandardSave(state),
                    "about": ocp.args.JsonSave(told),
                }
                if not self._manager.save(step, args=ocp.args.Composite(**items)):
                    newest = self.steps()[-1]
                    return f"step {step} is before step {newest}, which is saved"
            return None
        except Exception as error:  # of the file system, orbax or tensorstore
            return self._give_up(error)

    def problem(self, wait: bool = False) -> str | None:
        """Why the last save failed, told once; None while all is well.

        Args:
          wait: for a save under way, until it is committed.
        """
        try:
            if wait:
                self._manager.wait_until_finished()
            self._manager.check_for_errors()
            return None
        except Exception as error:  # as in `save`
            return self._give_up(error)

    def is_saving(self) -> bool:
        """Whether a save is under way, committed neither nor failed."""
        return self._manager.is_saving_in_progress()

    def restore(self, step: int, like: Any = None) -> Any:
        """The state of a step as numpy arrays.

        Args:
          step: one of `steps()`.
          like: a tree of arrays or shapes, as it was saved; None gives nested dicts.

        Raises:
          DamagedError: it cannot be read, or is not what was saved.
          UserError: it is whole, and of another shape than `like`.
        """
        with _without_strays():
            found = self._read(step)
        if isinstance(found, str):
            raise DamagedError(found)
        state, saved = found
        if state_hash(state) != saved:
            raise DamagedError("its numbers are not those that were saved")
        return state if like is None else _in_the_form_of(like, state, step)

    def about(self, step: int) -> dict[str, Any]:
        """What a whole step was saved with, beside the state."""
        items = {"about": ocp.args.JsonRestore()}
        return self._manager.restore(step, args=ocp.args.Composite(**items))["about"]

    def set_aside(self, step: int) -> Path:
        """Moves a damaged step out of the way; returns where it is now."""
        target = self.folder.with_name("checkpoints_damaged") / str(step)
        target.parent.mkdir(exist_ok=True)
        while target.exists():
            target = target.with_name(target.name + "_")
        (self.folder / str(step)).rename(target)
        self._manager.reload()
        return target

    def drop_after(self, step: int) -> None:
        """Deletes later steps: orbax saves none below its newest, and says nothing."""
        for later in self.steps():
            if later > step:
                self._manager.delete(later)

    def clear_uncommitted(self) -> None:
        """Deletes what a killed save left; for the one that alone writes here."""
        for name in ocp.path.step.tmp_checkpoints(self.folder):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def close(self) -> str | None:
        """Waits until what was saved is committed; as `problem`."""
        problem = self.problem(wait=True)
        self._manager.close()
        return problem

    def _read(self, step: int) -> tuple[Any, str] | str:
        """The state and the hash that it was saved with; else why not, in a line."""
        items = {"state": ocp.args.StandardRestore(), "about": ocp.args.JsonRestore()}
        try:
            found = self._manager.restore(step, args=ocp.args.Composite(**items))
            return found["state"], found["about"]["hash"]
        except Exception as error:  # damage can make any of three libraries fail
            time.sleep(1.0)  # for the other reads under way, see `_without_strays`
            line = str(error).strip().partition("\n")[0] or type(error).__name__
            return line[:200]

    def _refuse_full_disk(self, state: Any) -> None:
        """Raises OSError unless the folder takes a file of the state's size.

        Asked first: a save that orbax began and cannot end waits for minutes.
        """
        size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state))
        with tempfile.TemporaryFile(dir=self.folder) as file:
            os.posix_fallocate(file.fileno(), 0, size + 2**20)

    def _open(self) -> ocp.CheckpointManager:
        self.folder.mkdir(parents=True, exist_ok=True)
        me = jax.process_index()  # each has its own folder, and waits for no other
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep,
            enable_async_checkpointing=True,
            create=False,
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=me,
                active_processes={me},
                barrier_sync_key_prefix=f"process_{me}",
            ),
        )
        return ocp.CheckpointManager(self.folder, options=options)

    def _give_up(self, error: Exception) -> str:
        """Forgets a failed save; a manager that met one takes its step for saved."""
        with contextlib.suppress(Exception):  # still out of reach: `error` says why
            self._manager = self._open()
        return str(error).strip().partition("\n")[0] or type(error).__name__


@contextlib.contextmanager
def _without_strays() -> Iterator[None]:
    """Keeps a failed read to its one reason.

    The reads of other arrays that were under way would each print a traceback or a
    warning of its own (`Event loop is closed`, `never awaited`; orbax 0.12.8).
    """
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
            gc.collect()
    finally:
        sys.unraisablehook = hook


def _in_the_form_of(like: Any, state: Any, step: int) -> Any:
    """The arrays of nested dicts in the tree `like`, by their names."""
    found, wanted = by_name(state), by_name(like)
    old = {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in found.items()}
    new = {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in wanted.items()}
    if old != new:
        names = [n for n in sorted(old | new) if old.get(n) != new.get(n)]
        changes = [f"{n} {old.get(n)} → {new.get(n)}" for n in names[:3]]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise UserError(
            f"the checkpoint of step {step} was written by other code (its "
            f"{'; '.join(changes)}{more}): go on with the commit and versions in its "
            f"config.json, or train into another --workdir"
        )
    return jax.tree.unflatten(
        jax.tree.structure(like), [np.asarray(found[name]) for name in wanted]
    )
