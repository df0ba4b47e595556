"""Where a run goes on: the newest checkpoint that is whole."""

import sys
from collections.abc import Sequence
from typing import Any

from research.errors import UserError
from research.training.checkpoints import Checkpoints, DamagedError


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
