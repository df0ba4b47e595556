"""Ways to run a step on all devices: one file each, found by its name.

Each keeps a copy of the state on every device, runs the step under the axis
`research.training.axes.BATCH` over the devices of all processes, and donates the state
to it. A file here has

  parallel(step, places=None, over=None) -> the compiled `step(state, *inputs)` → state,
      metrics; `places`: how each input lies, None: all COPIED; `over`: devices to
      compile for, None: those of this run
  replicate(tree) -> the tree of host arrays, a copy on every device of this process
  distribute(tree) -> a tree whose first axis is of this process' devices, each given
      its part
  fetch(tree) -> one copy of what was replicated, or of a result, as numpy arrays
  shapes(tree, ranks) -> what `replicate` makes of it on so many devices, as shapes

All give the same numbers, to rounding: tests/research/training/test_strategies.py.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from research import parts
from research.experiment import Experiment

Place = Literal["copied", "own", "plain"]
COPIED: Place = "copied"  # as `replicate` gives it
OWN: Place = "own"  # as `distribute` gives it
PLAIN: Place = "plain"  # a scalar of the host, the same for all


class Strategy(Protocol):
    """The members of a file in this folder."""

    def parallel(
        self, step: Any, places: Sequence[Place] | None = None, over: Any = None
    ) -> Any: ...
    def replicate(self, tree: Any) -> Any: ...
    def distribute(self, tree: Any) -> Any: ...
    def fetch(self, tree: Any) -> Any: ...
    def shapes(self, tree: Any, ranks: int) -> Any: ...


def find(experiment: Experiment) -> Strategy:
    """The strategy that an experiment names.

    Raises:
      UserError: there is none of that name.
    """
    return parts.find("research.training.strategies", experiment.training.strategy)
