"""Where a run goes on: the newest checkpoint that is whole."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from research.errors import UserError
from research.training import processes
from research.training.checkpoints import Checkpoints, DamagedError
from research.training.goodput import Goodput
from research.training.job import state_like
from research.training.members import Members
from research.training.runs import Run, Standing
from research.training.stamp import MACHINE, differing


class Start(NamedTuple):
    """What a part of a run begins from."""

    step: int  # of the runs that go on
    standings: list[Standing]  # of each run
    seconds: float  # trained by then
    rewinds: int  # that the order of the data is after


def go_on(
    name: str, runs: Sequence[Run], goodput: Goodput, rewinds: int | None = None
) -> Start:
    """The newest common checkpoint, or the start; what came later is dropped.

    A run that had diverged by then stays lost, and what it left as it is.

    Args:
      name: for what is told.
      runs: as for `train`.
      goodput: counts the time.
      rewinds: None: as many as the checkpoint is after.
    """
    with goodput.during("saving"):
        found = resume(name, runs, state_like(runs[0].job))
    abouts = [
        run.checkpoints.about(where.step) if where.step else {}
        for run, where in zip(runs, found, strict=True)
    ]
    first = next(i for i, where in enumerate(found) if not where.diverged)
    step, about = found[first].step, abouts[first]
    if made_with := about.get("made_with"):
        tell_of_another_machine(name, step, made_with, runs[0].checkpoints.made_with)
    for where, its in zip(found, abouts, strict=True):
        where.skipped = its.get("skipped_updates", 0)
        where.in_a_row = its.get("skipped_in_a_row", 0)
    step, about, found = processes.told((step, about, found))
    if not all(where.step for where in found):
        initial = Members([run.job for run in runs]).initial_states()
        for where, state in zip(found, initial, strict=True):
            where.state = where.state if where.step else state
    going = [run for run, it in zip(runs, found, strict=True) if not it.diverged]
    return Start(
        step,
        found,
        max(run.record.rewind(step) for run in going),
        about.get("rewinds", 0) if rewinds is None else rewinds,
    )


def resume(name: str, runs: Sequence[Run], like: Any) -> list[Standing]:
    """The newest step of which every run has a whole checkpoint, and the states.

    Runs that their record tells to have diverged do not count: they keep no later
    checkpoints, and the others go on. One that has a checkpoint of the step goes on
    from it like the others; else it is lost. Where all have diverged, those that came
    furthest count.

    What those that go on have of later steps is dropped.

    Args:
      name: of the experiment, for what is told.
      runs: at least one.
      like: the state's shapes and dtypes.

    Returns:
      Each run's step and state; 0 and None where it has no checkpoint.

    Raises:
      UserError: checkpoints, but none that can be read, or that all have, or of other
        code.
    """
    newest = [max(run.checkpoints.steps(), default=0) for run in runs]
    counting = [i for i, run in enumerate(runs) if not run.record.has_diverged()]
    counting = counting or [i for i, step in enumerate(newest) if step == max(newest)]
    together = newest_whole(name, [runs[i].checkpoints for i in counting], like)
    if together is None:
        _begin_anew(name, runs)
        return [Standing(0, None) for _ in runs]
    step, states = together
    found = dict(zip(counting, states, strict=True))
    standings = [
        Standing(step, found[i]) if i in found else _of_lost(name, run, like, step)
        for i, run in enumerate(runs)
    ]
    for run, standing in zip(runs, standings, strict=True):
        if not standing.diverged:
            run.checkpoints.drop_after(step)
    return standings


def _of_lost(name: str, run: Run, like: Any, step: int) -> Standing:
    """Of a run that has diverged, when the others go on from a step."""
    try:
        found = newest_whole(name, [run.checkpoints], like, step)
    except UserError as problem:  # no reason to keep the others from going on
        print(f"{name}: {problem}", file=sys.stderr)
        found = None
    its, (state,) = found or (0, [None])
    return Standing(its, state, diverged=its < step)


def newest_whole(
    name: str, every: Sequence[Checkpoints], like: Any, latest: int | None = None
) -> tuple[int, list[Any]] | None:
    """The newest step of which all have a whole checkpoint, and the states.

    Damaged ones are set aside, and that is told.

    Args:
      name, like: as for `resume`.
      every: the checkpoints of each run.
      latest: no later step is looked at.

    Returns:
      None where there is none.

    Raises:
      UserError: checkpoints, but none that can be read, or of other code.
    """
    damaged: list[Path] = []
    while step := max(_common(every, latest), default=None):
        states = []
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
            return step, states
    if damaged:
        raise UserError(
            f"no checkpoint is left that can be read; the damaged ones are in "
            f"{damaged[-1].parent}: start again in another --workdir"
        )
    return None


def _common(every: Sequence[Checkpoints], latest: int | None) -> set[int]:
    """Steps no later than `latest` that all have."""
    steps = set.intersection(*(set(one.steps()) for one in every))
    return {step for step in steps if latest is None or step <= latest}


def _begin_anew(name: str, runs: Sequence[Run]) -> None:
    """Drops what only some runs have saved of their first checkpoint, and tells it.

    Raises:
      UserError: more than a kill in the first save would be lost.
    """
    for run in runs:
        steps, most = run.checkpoints.steps(), run.job.experiment.checkpoint_every
        if len(steps) > 1 or max(steps, default=0) > most:
            raise UserError(
                f"the runs beside {run.record.workdir} have no checkpoint of a step "
                f"that it has: put back what is missing of theirs, or train new "
                f"members of a population in another --workdir"
            )
    if some := [run for run in runs if run.checkpoints.steps()]:
        print(
            f"{name}: only {len(some)} of {len(runs)} runs had saved their first "
            f"checkpoint: all begin again",
            file=sys.stderr,
        )
    for run in some:
        run.checkpoints.drop_after(0)


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
