"""Saves that may fail: the user is told, they are tried again, training goes on."""

import time
from collections.abc import Callable, Sequence

from research.errors import UserError
from research.training.checkpoints import Checkpoints
from research.training.runs import Standing
from research.training.stop import StartAgainError

RETRY_SECONDS = 10.0  # between attempts to save on a full disk or a lost folder


class Saving:
    """The saves of runs that are trained at once."""

    def __init__(self, every: Sequence[Checkpoints], say: Callable[[str], None]):
        """Takes each run's checkpoints, and what tells the user a line."""
        self._every, self._say = every, say
        self._retry_at: float | None = None  # when to save again, after a failure
        self._in_trouble = False  # told, and not saved since

    def begin(self) -> None:
        """All runs are to be saved now; earlier failures no longer count."""
        self._retry_at = None

    def save(self, checkpoints: Checkpoints, standing: Standing, rewinds: int) -> None:
        """Starts to save one run, as far as it is."""
        about = {
            "rewinds": rewinds,
            "skipped_updates": standing.skipped,
            "skipped_in_a_row": standing.in_a_row,
        }
        if problem := checkpoints.save(standing.step, standing.state, about):
            self._failed(problem)

    def is_due_again(self) -> bool:
        """Whether a save has failed and it is time for another.

        Tells of the first failure, and when all is saved again.
        """
        for checkpoints in self._every:
            if problem := checkpoints.problem():
                self._failed(problem)
        self._tell_of_recovery()
        return self._retry_at is not None and time.perf_counter() > self._retry_at

    def finish(self, save: Callable[[], None], step: int, reason: str | None) -> None:
        """Waits until the last state is committed; one that failed has one more try.

        Args:
          save: saves all runs, by `begin` and `save`.
          step: of the last state.
          reason: what the run was asked to stop for.

        Raises:
          UserError: it cannot be saved.
          StartAgainError: the same, after a notice, which an older state answers too.
        """
        if self._has_failed():
            save()
            if self._has_failed():
                folder, kept = self._every[0].folder, self._every[0].steps()[-1:]
                kind = StartAgainError if reason == "preempted" else UserError
                raise kind(
                    f"step {step} cannot be saved; saved is {(kept or ['none'])[0]}: "
                    f"make room in {folder.parent}, or make it writable, and start "
                    f"again"
                )
        self._tell_of_recovery()

    def _has_failed(self) -> bool:
        problems = [checkpoints.problem(wait=True) for checkpoints in self._every]
        return any(problems) or self._retry_at is not None

    def _tell_of_recovery(self) -> None:
        """Says that saving works again, once all that was begun is over."""
        if not self._in_trouble or self._retry_at is not None:
            return
        if not any(checkpoints.is_saving() for checkpoints in self._every):
            self._in_trouble = False
            self._say("checkpoints are saved again")

    def _failed(self, problem: str) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            self._say(f"a checkpoint could not be saved, training goes on: {problem}")
        self._retry_at = time.perf_counter() + RETRY_SECONDS
