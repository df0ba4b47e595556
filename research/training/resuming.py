"""Where a run goes on: the newest checkpoint that is whole."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from research.errors import UserError
from research.training import processes
from research.training.checkpoints import Checkpoints, DamagedError
from research.training.goodput import Goodput
from research.training.job import state_like
from research.training.members import Members
from research.training.runs import Run
from research.training.stamp import MACHINE, differing


class Start(NamedTuple):
    """What a part of a run begins from."""

    step: int
    states: list[Any]  # of each run
    seconds: float  # trained by then
    skipped: list[int]  # updates left out by then, of each run
    rewinds: int  # that the order of the data is after


def go_on(
    name: str, runs: Sequence[Run], goodput: Goodput, rewinds: int | None = None
) -> Start:
    """The newest common checkpoint, or the start; what came later is dropped.

    Args:
      name: for what is told.
      runs: as for `train`.
      goodput: counts the time.
      rewinds: None: as many as the checkpoint is after.
    """
    with goodput.during("saving"):
        kept = resume(name, [run.checkpoints for run in runs], state_like(runs[0].job))
    abouts = [run.checkpoints.about(kept[0]) if kept else {} for run in runs]
    if kept and (made_with := abouts[0].get("made_with")):
        tell_of_another_machine(name, kept[0], made_with, runs[0].checkpoints.made_with)
    kept, abouts = processes.told((kept, abouts))
    step, states = kept or (0, Members([run.job for run in runs]).initial_states())
    return Start(
        step,
        states,
        max(run.record.rewind(step) for run in runs),
        [about.get("skipped_updates", 0) for about in abouts],
        abouts[0].get("rewinds", 0) if rewinds is None else rewinds,
    )


def resume(
    name: str, every: Sequence[Checkpoints], like: Any
) -> tuple[int, list[Any]] | None:
    """The newest step of which every run has a whole checkpoint, and the states.

    Later steps are dropped; damaged checkpoints are set aside, and that is told.

    Args:
      name: of the experiment, for what is told.
      every: the checkpoints of each run.
      like: the state's shapes and dtypes.

    Returns:
      None where there is no checkpoint yet.

    Raises:
      UserError: checkpoints, but none that can be read, or of other code.
    """
    damaged = []
    while steps := set.intersection(*(set(one.steps()) for one in every)):
        step, states = max(steps), []
        for checkpoints in every:
            try:
                states.append(checkpoints.restore(step, like))
            except DamagedError as damage:
                damaged.append(checkpoints.set_aside(step))
                print(
                    f"{name}: the checkpoint of step {step} is damaged ({damage}); "
                    f"it is in {damaged[-1]} now, and an older one is taken",
                    file=sys.stderr,
                )
                break
        else:
            for checkpoints in every:
                checkpoints.drop_after(step)
            return step, states
    if damaged:
        raise UserError(
            f"no checkpoint is left that can be read; the damaged ones are in "
            f"{damaged[-1].parent}: start again in another --workdir"
        )
    return None


def tell_of_another_machine(
    name: str, step: int, before: dict[str, Any], now: dict[str, Any]
) -> None:
    """Says in a line what a checkpoint was saved with that is not so here.

    Its numbers are whole and mean the same, so the run goes on; but other versions
    round otherwise, and then it is not the run any more that nobody stopped.
    """
    if changes := differing(before, now, MACHINE):
        print(
            f"{name}: the checkpoint of step {step} was made with other versions or "
            f"devices ({'; '.join(changes)}): the run goes on from it, and is bit for "
            f"bit the uninterrupted one only with the old ones",
            file=sys.stderr,
        )
