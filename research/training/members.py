"""Several jobs of one structure as one: stacked states, and one step for all.

States and metrics have a leading axis of members. Those of a single job have none, and
its program is the job's own.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from research import population
from research.training.job import (
    Job,
    initial_state,
    left_out_function,
    step_function,
    with_settings,
)
from research.training.not_finite import guard
from research.training.varied import Varied

Values = dict[population.Setting, Any]


class Members:
    """Jobs that `population.alike` puts together."""

    def __init__(self, jobs: Sequence[Job]):
        """Takes the jobs, at least one; their order is that of the axis."""
        self.jobs = list(jobs)
        self._settings = population.differing(job.experiment for job in jobs)
        # In what the jobs differ, [members] each: arguments of the program, so that
        # other seeds need no other program.
        self.values: Values = {
            where: np.array(values, np.uint32 if _is_seed(where) else np.float32)
            for where, values in self._settings.items()
        }

    def step(self, ranks: int) -> Callable[[Any, Values, Any], tuple[Any, Any]]:
        """`step(state, values, arrays)` → state, metrics, for one of `ranks` devices.

        A member's task is built inside, from its values. Where updates may be left out
        the state is a `not_finite.Guarded`.
        """
        skips = self.jobs[0].experiment.on_nan == "skip"

        def one(state, values, arrays):
            job = self._job(values)
            step = step_function(job, ranks)
            if skips:
                step = guard(step, left_out_function(job, ranks))
            return step(state, arrays)

        return one if self._single else jax.vmap(one, in_axes=(0, 0, None))

    def initial_states(self) -> list[Any]:
        """Each member's state before its first step, as numpy arrays."""
        init = jax.jit(lambda values: initial_state(self._job(values)))
        each = [
            {k: v[i] for k, v in self.values.items()} for i in range(len(self.jobs))
        ]
        return [jax.tree.map(np.asarray, init(values)) for values in each]

    def stack(self, states: Sequence[Any]) -> Any:
        """One tree of numpy arrays for the step from each member's."""
        if self._single:
            return states[0]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *states)

    def split(self, tree: Any) -> list[Any]:
        """The inverse of `stack`, for states and metrics."""
        if self._single:
            return [tree]
        leaves, structure = jax.tree.flatten(tree)
        rows = zip(*leaves, strict=True) if leaves else [()] * len(self.jobs)
        return [jax.tree.unflatten(structure, row) for row in rows]

    @property
    def _single(self) -> bool:
        return len(self.jobs) == 1

    def _job(self, values: Values) -> Job:
        """The job of one member, with traced values where the members differ."""
        if not values:
            return self.jobs[0]
        new = {
            where: value
            if _is_seed(where)
            else Varied(".".join(where), self._settings[where], value)
            for where, value in values.items()
        }
        job = self.jobs[0]
        return with_settings(job, population.insert(job.experiment, new))


def _is_seed(where: population.Setting) -> bool:
    return where == population.SEED
