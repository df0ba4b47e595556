"""A run read back from its workdir: its settings and the states that are kept."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from research.errors import UserError
from research.experiment import Experiment
from research.settings import from_dict
from research.training.checkpoints import Checkpoints, DamagedError
from research.training.files import read_json
from research.training.job import Job, prepare, state_like


class Trained(NamedTuple):
    """A run read back from its workdir."""

    job: Job
    step: int
    state: Any  # numpy arrays, as a checkpoint holds them


def read(
    workdir: Path,
    step: int | None = None,
    otherwise: Callable[[Experiment], Experiment] = lambda recorded: recorded,
) -> Trained:
    """The settings and a checkpointed state of a run.

    Args:
      workdir: of the run.
      step: one of its checkpoints; None: the newest.
      otherwise: the recorded settings → those of the job, which has states alike.

    Raises:
      UserError: no run there, or no such checkpoint.
    """
    about = read_json(workdir / "config.json")
    job = prepare(about["experiment"], otherwise(from_dict(about["config"])))
    _tell_of_other_data(workdir, about["data"], job)
    checkpoints = Checkpoints(workdir / "checkpoints")
    try:
        kept = checkpoints.steps()
        if not kept or step not in (None, *kept):
            names = ", ".join(map(str, kept)) or "none yet"
            wanted = "" if step is None else f" {step}"
            raise UserError(
                f"{workdir} has no checkpoint{wanted} (kept: {names}): train it, or "
                f"name one that is kept"
            )
        step = kept[-1] if step is None else step
        return Trained(job, step, checkpoints.restore(step, state_like(job)))
    except DamagedError as damage:
        raise UserError(
            f"the checkpoint of step {step} in {workdir} is damaged ({damage}): name "
            f"another with --step, or train again to make it anew"
        ) from None
    finally:
        checkpoints.close()


def _tell_of_other_data(workdir: Path, then: dict[str, str], job: Job) -> None:
    now = {"train": job.train.fingerprint, "held_out": job.held_out.fingerprint}
    if changed := [name for name in now if now[name] != then[name]]:
        print(
            f"{workdir} was trained on other data than there is now "
            f"({', '.join(changed)} changed since): what follows is of the data as it "
            f"is now",
            file=sys.stderr,
        )


def kept_states(workdir: Path) -> Iterator[tuple[int, Any]]:
    """Each committed checkpoint, ascending: step and state; None of a damaged one."""
    checkpoints = Checkpoints(workdir / "checkpoints")
    try:
        for step in checkpoints.steps():
            try:
                yield step, checkpoints.restore(step)
            except DamagedError:
                yield step, None
    finally:
        checkpoints.close()
