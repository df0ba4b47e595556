"""Checkpoints by orbax: committed whole or not at all, written in the background.

A checkpoint is the training state as numpy arrays, without a device axis, so that it
can be read on any number of devices. Steps on disk that were not committed (the
process was killed while saving) are not seen and are cleared at the next start.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp


class Checkpoints:
    """The checkpoints of one run, newest last."""

    def __init__(self, folder: Path, keep: int = 3):
        """Opens or makes the folder.

        Args:
          folder: absolute path of the run's `checkpoints`.
          keep: how many of the newest steps stay.
        """
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=True
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def steps(self) -> list[int]:
        """Committed steps, ascending."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: Any) -> None:
        """Starts to save a tree of numpy arrays; waits for a save under way."""
        if step not in self._manager.all_steps():
            self._manager.save(step, args=ocp.args.StandardSave(state))

    def restore(self, step: int, like: Any = None) -> Any:
        """The state of a step as numpy arrays.

        Args:
          step: one of `steps()`.
          like: a tree of arrays or shapes, as it was saved; None gives nested dicts.
        """
        if like is None:
            return self._manager.restore(step, args=ocp.args.StandardRestore())
        abstract = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        return self._manager.restore(step, args=ocp.args.StandardRestore(abstract))

    def drop_after(self, step: int) -> None:
        """Deletes later steps: orbax saves none below its newest, and says nothing."""
        for later in self.steps():
            if later > step:
                self._manager.delete(later)

    def close(self) -> None:
        """Waits until what was saved is committed."""
        self._manager.wait_until_finished()
        self._manager.close()
