"""An experiment with its parts found, and the functions of it that are compiled."""

import functools
import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from research import data, media
from research.errors import UserError
from research.experiment import Experiment
from research.sources.split import Split
from research.task import Task
from research.training import devices, feeding, precision, strategies
from research.training.axes import BATCH

LEAST = {
    "steps": 1,
    "batch_size": 1,
    "checkpoint_every": 1,
    "log_every": 1,
    "validation_examples": 2,  # an interval is of two or more
    "score_pictures": 0,
}


class Job(NamedTuple):
    """An experiment with its parts found and its data read."""

    name: str
    experiment: Experiment
    task: Task
    dataset: ModuleType
    train: Split
    held_out: Split


def prepare(name: str, experiment: Experiment) -> Job:
    """Finds the parts of an experiment and reads its data.

    Raises:
      UserError: a part that does not exist, settings that no run could mean.
    """
    refuse_wrong(experiment)
    dataset = data.find(experiment.data, experiment.batch_size)
    task = task_of(experiment, dataset)
    splits = [dataset.load(s, experiment.data.folder) for s in ("train", "test")]
    if task.refuse is not None:
        for split in splits:
            task.refuse(split.arrays)
    task = suited(task, splits[0])
    if hasattr(experiment.model, "refuse_data"):
        experiment.model.refuse_data(splits[0].arrays)
    if experiment.batch_size > splits[0].examples:
        raise UserError(
            f"--batch-size {experiment.batch_size} exceeds the {splits[0].examples} "
            f"training examples of {experiment.data.name}: take at most that"
        )
    refuse_batches(experiment, task, dataset, splits[0])
    refuse_score(experiment, task, dataset, splits[1])
    if experiment.data.placement == "host":
        splits[0] = splits[0]._replace(arrays=feeding.on_host(splits[0].arrays))
    else:
        feeding.refuse_too_large(splits[0].arrays, feeding.device_memory())
    return Job(name, experiment, task, dataset, *splits)


def refuse_batches(
    experiment: Experiment, task: Task, dataset: Any, train: Split
) -> None:
    """Raises UserError for data whose batches lack an entry that the task needs."""
    if not task.needs:
        return
    batch = _entries(dataset, train)
    for name in task.needs:
        if name not in batch:
            raise UserError(
                f"--data.name {experiment.data.name} has no {name!r} in its batches, "
                f"which this task carries its state by: take bible or text"
            )


def refuse_score(
    experiment: Experiment, task: Task, dataset: Any, held_out: Split
) -> None:
    """Raises UserError, before any training, for a final score that cannot be had."""
    medium, count = media.of(dataset), experiment.score_pictures
    if task.draw is None:
        return
    if hasattr(medium, "refuse"):
        medium.refuse(count, dataset, held_out.examples)
    used = {"score": count, "likelihood": task.evaluate is not None}
    takers = [name for name, on in used.items() if on and hasattr(medium, name)]
    if not takers or "block" not in _entries(dataset, held_out):
        return
    for name in takers:
        if "blocks" not in inspect.signature(getattr(medium, name)).parameters:
            way = ", or give --score-pictures 0" if name == "score" else ""
            raise UserError(
                f"--data.name {experiment.data.name} has 'block' in its batches, which "
                f"the {name} of {media.name_of(dataset)} does not take: leave it out "
                f"of them{way}"
            )


def _entries(dataset: Any, split: Split) -> Any:
    """Shapes and dtypes of a batch of one, by name."""
    one = jnp.arange(1, dtype=jnp.uint32)
    return jax.eval_shape(dataset.batch, split.arrays, 0, one)


def refuse_wrong(experiment: Experiment, ranks: int | None = None) -> None:
    """Raises UserError for counts that no run could mean, whatever its parts.

    Args:
      experiment: its settings.
      ranks: devices that it is to run on; those of this run unless given.
    """
    for field, least in LEAST.items():
        if getattr(experiment, field) < least:
            value, flag = getattr(experiment, field), field.replace("_", "-")
            raise UserError(f"--{flag} is {value}: give {least} or more")
    if experiment.profile is not None:
        first, last = experiment.profile
        if not 1 <= first <= last <= experiment.steps:
            raise UserError(
                f"--profile {first} {last}: give the first and the last of its steps, "
                f"of 1 to {experiment.steps}"
            )
    if not 0 <= experiment.seed < 2**32:
        raise UserError(f"--seed is {experiment.seed}: give 0 to 2³² − 1")
    local = devices.share(experiment.batch_size, ranks or jax.device_count())
    shares = experiment.optimizer.accumulate
    if shares < 1 or local % shares:
        raise UserError(
            f"--optimizer.accumulate {shares} does not divide a device's {local} "
            f"examples of a batch: take a divisor of {local}, or another --batch-size"
        )
    strategies.find(experiment)


def task_of(experiment: Experiment, dataset: ModuleType) -> Task:
    """The task of an experiment on a data set.

    Raises:
      UserError: settings or a data set that the task refuses.
    """
    model = precision.of(experiment.model, experiment.training.compute)
    task = experiment.task.build(
        model, experiment.optimizer, experiment.steps, media.of(dataset)
    )
    if task.check is not None:
        task.check(dataset)
    if task.draw_shaped is not None:
        draw = functools.partial(task.draw_shaped, shape=dataset.SHAPE)
        task = task._replace(draw=draw)
    return task


def suited(task: Task, train: Split) -> Task:
    """The task for these training data."""
    return task if task.suited is None else task.suited(train.arrays)


def with_settings(job: Job, experiment: Experiment) -> Job:
    """The job of another experiment on the same data."""
    task = suited(task_of(experiment, job.dataset), job.train)
    return job._replace(experiment=experiment, task=task)


def initial_state(job: Job) -> Any:
    """The state before the first step, a pure function of the seed; traceable."""
    key = jax.random.key(job.experiment.seed)
    return job.task.init(key, example_batch(job))


def state_like(job: Job) -> Any:
    """Shapes and dtypes of the state, without making one."""
    return jax.eval_shape(job.task.init, jax.random.key(0), example_batch(job))


def step_function(job: Job, ranks: int) -> Callable[[Any, Any], tuple[Any, Any]]:
    """`step(state, arrays)` → state, metrics, for one of `ranks` devices.

    It runs under the axis `BATCH`. The batch is made inside: step and rank say which
    examples it holds. Of a task's several batches each is shared by all devices. With
    data on the host `arrays` is the batch: see `host_batches`.
    """
    batch_of = _batch_function(job, ranks)

    def step(state, arrays):
        batch = batch_of(state, arrays)
        state, metrics = job.task.step(state, batch, step_key(job, state.step))
        return state, jax.lax.pmean(metrics, BATCH)

    return step


def left_out_function(job: Job, ranks: int) -> Callable[[Any, Any], Any]:
    """`left_out(state, arrays)` → state where the update of a step is left out.

    It runs where `step_function`'s does, and does not count the step.
    """
    batch_of = _batch_function(job, ranks)

    def left_out(state, arrays):
        if job.task.left_out is None:
            return state
        return job.task.left_out(state, batch_of(state, arrays))

    return left_out


def _batch_function(job: Job, ranks: int) -> Callable[[Any, Any], Any]:
    """`batch_of(state, arrays)` → what one of `ranks` devices sees in a step."""
    experiment, shares = job.experiment, Shares(job, ranks)

    def batch_of(state, arrays):
        first = state.step * shares.a_step + jax.lax.axis_index(BATCH) * shares.local
        positions = first.astype(jnp.uint32) + jnp.uint32(shares.offsets)
        batch = arrays
        if experiment.data.placement == "device":
            batch = job.dataset.batch(arrays, experiment.seed, positions)
        return batch | {"position": positions}

    return batch_of


def whole_batch(job: Job, step: int) -> Any:
    """The batches that all devices together see in a step, one after another."""
    examples = job.experiment.batch_size * job.task.batches
    positions = (step * examples + np.arange(examples)).astype(np.uint32)
    batch = job.dataset.batch(job.train.arrays, job.experiment.seed, positions)
    return batch | {"position": positions}


def step_key(job: Job, step: Any) -> jax.Array:
    """The key of a step, the same on all devices."""
    return jax.random.fold_in(jax.random.key(job.experiment.seed), step)


class Shares:
    """Which examples a step takes, and which of them a device."""

    def __init__(self, job: Job, ranks: int):
        size, batches = job.experiment.batch_size, job.task.batches
        self.a_step = batches * size
        self.local = devices.share(size, ranks)  # of each batch
        # From a device's first example to each that it takes, uint32.
        every = size * np.arange(batches)[:, None] + np.arange(self.local)
        self.offsets = every.ravel().astype(np.uint32)


def host_batches(job: Job, ranks: Sequence[int], of: int) -> Callable[[int], Any]:
    """The function that makes a step's batch on the host: [devices, examples, …].

    Args:
      job: with data on the host.
      ranks: of this process' devices.
      of: devices of all processes.
    """
    shares = Shares(job, of)

    def positions(step: int) -> np.ndarray:
        firsts = [(step * shares.a_step + r * shares.local) % 2**32 for r in ranks]
        return np.array(firsts, np.uint32)[:, None] + shares.offsets

    seed = job.experiment.seed
    return feeding.maker(job.dataset.batch, job.train.arrays, seed, positions)


def example_batch(job: Job) -> Any:
    """A batch of zeros of one device's shapes."""
    local = devices.share(job.experiment.batch_size, jax.device_count())
    local *= job.task.batches
    shapes = jax.eval_shape(
        job.dataset.batch, job.train.arrays, 0, jnp.arange(local, dtype=jnp.uint32)
    )
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
