"""What becomes of a run in which a number is not finite: `--on-nan`.

stop     the run ends, its last good checkpoint stays (the default)
skip     an update that gives one is left out, in the compiled step: networks,
         statistics and optimizers stay as they were, and only the step counts on
rewind   back to the last good checkpoint, and on with data and noise in another order

Each is a pure function of the settings: how often an update was left out, or the run
went back, is kept with the checkpoints.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from research.training.job import Job

REWINDS = 3  # from one checkpoint, until the run counts as lost
IN_A_ROW = 100  # updates left out one after another, until it does


class Guarded(NamedTuple):
    """A state and what was left out on its way to it."""

    state: Any
    skipped: Any  # uint32: updates left out so far
    in_a_row: Any  # uint32: of them since the last one that was made


def guarded(state: Any, skipped: int, in_a_row: int) -> Guarded:
    """A state to go on from, of numpy arrays."""
    return Guarded(state, np.uint32(skipped), np.uint32(in_a_row))


def bare(state: Any) -> Any:
    """The state itself, of one that may be guarded."""
    return state.state if isinstance(state, Guarded) else state


def guard(
    step: Callable[..., tuple[Any, Any]], left_out: Callable[..., Any]
) -> Callable[..., tuple[Guarded, Any]]:
    """`step(state, *inputs)` as one that leaves out what is not finite.

    It takes and gives a `Guarded`; `left_out(state, *inputs)` is the state after a step
    whose update is left out, but for its number. The metrics have `skipped_updates`,
    all so far, and `skipped_in_a_row`; the others are as they came, finite or not.
    """

    def guarded_step(before: Guarded, *inputs: Any) -> tuple[Guarded, Any]:
        state, metrics = step(before.state, *inputs)
        good = all_finite((state, metrics))

        def choose(path, new, old):
            # A step that is left out is over: the next one has other data.
            counts_on = jax.tree_util.keystr(path, simple=True) == "step"
            return new if counts_on else jnp.where(good, new, old)

        kept = left_out(before.state, *inputs)
        chosen = jax.tree_util.tree_map_with_path(choose, state, kept)
        bad = jnp.where(good, 0, 1).astype(jnp.uint32)
        after = Guarded(chosen, before.skipped + bad, bad * (before.in_a_row + 1))
        counts = {"skipped_updates": after.skipped, "skipped_in_a_row": after.in_a_row}
        return after, metrics | counts

    return guarded_step


def all_finite(tree: Any) -> jax.Array:
    """Whether every number of a tree of arrays is finite; traceable."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if _is_float(leaf)]
    return jnp.all(jnp.array([jnp.isfinite(leaf).all() for leaf in leaves]))


def in_another_order(job: Job, rewinds: int) -> Job:
    """The job with the data order and noise that it has after so many rewinds.

    The task and the weights that it began from are those of the settings as they are.
    """
    # Far from the neighbours that sweeps and populations take as seeds.
    seed = (job.experiment.seed + rewinds * 0x9E3779B9) % 2**32
    return job._replace(experiment=dataclasses.replace(job.experiment, seed=seed))


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
