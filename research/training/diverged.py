"""What is kept of runs in which a number is not finite."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from research.errors import UserError
from research.training import not_finite
from research.training.job import whole_batch
from research.training.program import Program
from research.training.progress import RunProgress
from research.training.runs import Run, Standing


def finite(tree: Any) -> bool:
    """Whether every number of a tree of numpy arrays is finite."""
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


class Diverged:
    """Writes of each run that diverges that it has, and the step that did it, once."""

    def __init__(self, runs: Sequence[Run], standings: Sequence[Standing]):
        """Takes the runs and where they stand; those lost already are known."""
        self._runs, self._standings = runs, standings
        # By number.
        self._replayed = {i for i, one in enumerate(standings) if one.diverged}
        self._marked = set(self._replayed)  # of which end.json tells it

    def keep(self, program: Program, rewinds: int, step: int, progress: RunProgress):
        """Writes what the first step began from that gave a number not finite.

        It is found by making the steps since the last finite state again.

        Args:
          program: of the runs.
          rewinds: that the order of the data is after.
          step: now.
          progress: is told of what could not be written.
        """
        lost = {i: one for i, one in enumerate(self._standings) if one.diverged}
        self._mark(lost, progress)
        lost = {i: one for i, one in lost.items() if i not in self._replayed}
        if not lost:
            return
        self._replayed |= {*lost}
        first = min(one.step for one in lost.values())
        for before, after in program.again(self._standings, first, step):
            for i in [i for i in lost if not finite(after[i])]:
                job, begun = program.jobs[i], not_finite.bare(before[i])
                batch = whole_batch(job, int(begun.step))
                lost_step = int(begun.step) + 1, begun, batch, rewinds
                if problem := self._runs[i].record.not_finite(*lost_step):
                    progress.say(f"step {lost_step[0]} is not kept: {problem}")
                del lost[i]

    def _mark(self, lost: dict[int, Standing], progress: RunProgress) -> None:
        """Writes at once that runs have diverged; tried again until it is written.

        A start must know which ones the others go on without.
        """
        for i, one in lost.items():
            if i in self._marked:
                continue
            try:
                self._runs[i].record.ended("nan", one.step)
                self._marked.add(i)
            except UserError as problem:
                if i not in self._replayed:
                    progress.say(str(problem))
