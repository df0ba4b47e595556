"""The one training loop: effects live here and nowhere else.

A run is a pure function of its experiment and the number of devices: the order of the
data and every key are folded from (seed, step), so a checkpoint of the state is all
that a resumed run needs.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from research import data, media
from research.errors import UserError
from research.evaluation import Evaluator
from research.experiment import Experiment
from research.sources.split import Split
from research.task import Task
from research.training import devices
from research.training.axes import BATCH
from research.training.checkpoints import Checkpoints
from research.training.progress import RunProgress
from research.training.record import Record
from research.training.stop import StopRequest


class Outcome(NamedTuple):
    """How a run ended."""

    verdict: str  # "done", "nan", "interrupted" or "preempted"
    step: int
    seconds: float  # of training, over all starts
    step_seconds: list[float]  # seconds a step, one for each log window of this start
    state: Any  # numpy arrays, without a device axis; the last finite one


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
    for field in ("steps", "batch_size", "checkpoint_every", "log_every"):
        if getattr(experiment, field) < 1:
            value, flag = getattr(experiment, field), field.replace("_", "-")
            raise UserError(f"--{flag} is {value}: give 1 or more")
    devices.share(experiment.batch_size, jax.device_count())
    dataset = data.find(experiment.data, experiment.batch_size)
    task = experiment.task.build(
        experiment.model, experiment.optimizer, experiment.steps, media.of(dataset)
    )
    splits = [dataset.load(s, experiment.data.folder) for s in ("train", "test")]
    if experiment.batch_size > splits[0].examples:
        raise UserError(
            f"--batch-size {experiment.batch_size} exceeds the {splits[0].examples} "
            f"training examples of {experiment.data.name}: take at most that"
        )
    return Job(name, experiment, task, dataset, *splits)


def initial_state(job: Job) -> Any:
    """The state before the first step, a pure function of the seed."""
    key = jax.random.key(job.experiment.seed)
    return jax.jit(job.task.init)(key, _example_batch(job))


def state_like(job: Job) -> Any:
    """Shapes and dtypes of the state, without making one."""
    return jax.eval_shape(job.task.init, jax.random.key(0), _example_batch(job))


def step_function(job: Job, ranks: int) -> Callable[[Any, Any], tuple[Any, Any]]:
    """`step(state, arrays)` → state, metrics, for one of `ranks` devices.

    It runs under the axis `BATCH`. The batch is made inside: step and rank say which
    examples it holds.
    """
    experiment = job.experiment
    local = devices.share(experiment.batch_size, ranks)

    def step(state, arrays):
        first = state.step * experiment.batch_size + jax.lax.axis_index(BATCH) * local
        positions = first.astype(jnp.uint32) + jnp.arange(local, dtype=jnp.uint32)
        batch = job.dataset.batch(arrays, experiment.seed, positions)
        key = jax.random.fold_in(jax.random.key(experiment.seed), state.step)
        state, metrics = job.task.step(state, batch | {"position": positions}, key)
        return state, jax.lax.pmean(metrics, BATCH)

    return step


def train(
    job: Job,
    record: Record,
    checkpoints: Checkpoints,
    evaluator: Evaluator,
    stop: StopRequest,
) -> Outcome:
    """Trains from the newest checkpoint, or from the start, to the last step."""
    state, start = _resume(job, checkpoints)
    before = record.rewind(start)
    run = _Run(job, record, checkpoints, evaluator, state, start, before)
    with RunProgress(job.name, start, job.experiment.steps) as progress:
        if start:
            progress.say(f"{job.name}: continues at step {start}")
        verdict = run.to_the_end(progress, stop)
    return Outcome(verdict, run.saved[0], run.seconds, run.windows, run.saved[1])


class _Run:
    """The running part of `train`: what changes from step to step."""

    def __init__(self, job, record, checkpoints, evaluator, state, start, before):
        self.job: Job = job
        self.record: Record = record
        self.checkpoints: Checkpoints = checkpoints
        self.evaluator: Evaluator = evaluator
        self.saved: tuple[int, Any] = (start, state)  # the last finite state seen
        self.windows: list[float] = []
        self.step = start
        self._before = before
        self._began = time.perf_counter()
        self._window: tuple[int, float] | None = None  # step and time it began
        self._compiled = devices.parallel(step_function(job, jax.device_count()))
        self._state = devices.replicate(state)
        self._arrays = devices.replicate(job.train.arrays)
        self._in_flight: deque[Any] = deque()

    @property
    def seconds(self) -> float:
        """Seconds of training over all starts of this run."""
        return self._before + time.perf_counter() - self._began

    def to_the_end(self, progress: RunProgress, stop: StopRequest) -> str:
        """Steps, logs and saves until the last step, a request to stop, or a NaN."""
        experiment = self.job.experiment
        while self.step < experiment.steps:
            metrics = self._advance()
            # Read once: a signal may fall anywhere below, and only a step that saw it
            # is saved. One that comes later is the next step's.
            reason = stop.reason
            last = self.step == experiment.steps or reason is not None
            if self.step % experiment.log_every == 0 or last:
                values = {n: float(v) for n, v in devices.fetch(metrics).items()}
                self._log(values, progress)
                if not all(map(math.isfinite, values.values())):
                    return "nan"
            if self.step % experiment.checkpoint_every == 0 or last:
                if not self._save(progress):
                    return "nan"
                self._window = None
            if reason is not None and self.step < experiment.steps:
                return reason
        return "done"

    def _advance(self) -> Any:
        self._state, metrics = self._compiled(self._state, self._arrays)
        self.step += 1
        self._in_flight.append(metrics)
        if len(self._in_flight) > devices.STEPS_IN_FLIGHT:
            jax.block_until_ready(self._in_flight.popleft())
        return metrics

    def _log(self, values: dict[str, float], progress: RunProgress) -> None:
        now = time.perf_counter()
        if self._window is not None:
            first, began = self._window
            self.windows.append((now - began) / (self.step - first))
        self._window = (self.step, now)
        self.record.metrics(self.step, self.seconds, values)
        rate = 1 / self.windows[-1] if self.windows else None
        progress.update(self.step, rate, values)

    def _save(self, progress: RunProgress) -> bool:
        """Saves, evaluates and draws; False, and nothing, if a number is not finite."""
        state = devices.fetch(self._state)
        if not finite(state):
            return False
        self.saved = (self.step, state)
        self.checkpoints.save(self.step, state)
        held_out = {
            f"validation_{name}": float(values.mean())
            for name, values in self.evaluator.held_out(state).items()
        }
        if held_out:
            self.record.metrics(self.step, self.seconds, held_out)
            shown = "  ".join(f"{name} {value:.4f}" for name, value in held_out.items())
            progress.say(f"{self.job.name}  step {self.step}  {shown}")
        if self.evaluator.draws:
            medium = self.evaluator.medium
            shown = self.evaluator.draw(state, self.job.experiment.seed, medium.SHOWN)
            self.record.samples(self.step, shown, self.job.dataset)
        return True


def finite(tree: Any) -> bool:
    """Whether every number of a tree of numpy arrays is finite."""
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def _resume(job: Job, checkpoints: Checkpoints) -> tuple[Any, int]:
    steps = checkpoints.steps()
    if not steps:
        state = initial_state(job)
        return jax.tree.map(np.asarray, state), 0
    return checkpoints.restore(steps[-1], state_like(job)), steps[-1]


def _example_batch(job: Job) -> Any:
    """A batch of zeros of one device's shapes."""
    local = devices.share(job.experiment.batch_size, jax.device_count())
    shapes = jax.eval_shape(
        job.dataset.batch, job.train.arrays, 0, jnp.arange(local, dtype=jnp.uint32)
    )
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
