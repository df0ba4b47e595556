"""An experiment's own training step, compiled for devices that are not here."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
from jax.interpreters.partial_eval import dce_jaxpr

from kernels.lstm import choices, gpu_tiles, tpu_compile, tpu_tiles
from kernels.lstm.dispatch import BACKENDS, passed_over
from launch.ahead import products
from launch.ahead.targets import Target, devices
from research import population
from research.data import find as find_data
from research.errors import UserError
from research.experiment import Experiment
from research.sources.split import Split
from research.training import devices as training
from research.training import strategies
from research.training.axes import BATCH
from research.training.job import (
    Job,
    example_batch,
    refuse_batches,
    state_like,
    task_of,
)
from research.training.members import Members


class Kernel(NamedTuple):
    """Calls of the LSTM op of one shape in a step."""

    case: dict[str, Any]
    calls: int
    backend: str
    passed_over: dict[str, str]  # backends before it, and why they cannot


class Traced(NamedTuple):
    """A step before compilation."""

    job: Job
    state: Any  # shapes of one device's
    arrays: Any  # shapes of the data set's
    flops: float  # of matrix products, on one device
    largest: products.Layer
    kernels: list[Kernel]
    lowered: Any


class Compiled(NamedTuple):
    """What the compiler made of a step."""

    seconds: float
    text: str
    memory: Any  # jax's CompiledMemoryStats


def job_of(name: str, experiment: Experiment) -> tuple[Job, str | None]:
    """The job that `train` would run, and why its data was not read, or None.

    Only shapes matter here: a data set that cannot be had, but says what its pictures
    are, is taken at its word.
    """
    dataset = find_data(experiment.data, experiment.batch_size)
    task = task_of(experiment, dataset)
    try:
        train = dataset.load("train", experiment.data.folder)
    except UserError as error:
        if not (hasattr(dataset, "EXAMPLES") and hasattr(dataset, "IMAGE_SHAPE")):
            raise
        count = dataset.EXAMPLES["train"]
        arrays: Any = {
            "image": jax.ShapeDtypeStruct((count, *dataset.IMAGE_SHAPE), "uint8"),
            "label": jax.ShapeDtypeStruct((count,), "int32"),
        }
        shapes = Split(arrays, count, "")
        return Job(name, experiment, task, dataset, shapes, shapes), str(error)
    refuse_batches(experiment, task, dataset, train)
    return Job(name, experiment, task, dataset, train, train), None


def trace(job: Job, target: Target) -> Traced:
    """The step of `research.training.loop`, traced and lowered for every device.

    Raises:
      UserError: the batch does not divide, or exceeds the data.
    """
    experiment, ranks = job.experiment, target.devices
    local = training.share(experiment.batch_size, ranks)
    if experiment.batch_size > job.train.examples:
        raise UserError(
            f"--batch-size {experiment.batch_size} exceeds the {job.train.examples} "
            f"training examples of {experiment.data.name}: take at most that"
        )
    there = devices(target)
    members = Members([job] if population_is_single(experiment) else _jobs(job))
    with compiling_for(target):
        # Shapes of the state do not depend on the batch: one that divides here too.
        here = dataclasses.replace(experiment, batch_size=local * jax.device_count())
        of_here = job._replace(experiment=here)
        state = state_like(of_here)
        if len(members.jobs) > 1:
            state = jax.tree.map(lambda leaf: _array(leaf, len(members.jobs)), state)
        on_device = experiment.data.placement == "device"
        data = dict(job.train.arrays) if on_device else example_batch(of_here)
        arrays = jax.tree.map(_array, data)
        arguments = jax.tree.map(_array, (state, (members.values, arrays)))

        def step(state, inputs):
            return members.step(ranks)(state, *inputs)

        axes = [(BATCH, ranks)]
        with choices.watched() as seen:
            jaxpr = jax.make_jaxpr(step, axis_env=axes)(*arguments).jaxpr
        # Gradients that nobody asks for are traced, and left out by every compiler.
        jaxpr, _ = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), instantiate=True)
        strategy = strategies.find(experiment)
        lowered = strategy.parallel(members.step(ranks), over=there).lower(
            *strategy.shapes((state, members.values, arrays), ranks)
        )
        kernels = _kernels(seen)
    return Traced(
        job,
        state,
        arrays,
        products.flops(jaxpr, target.chip.platform),
        products.largest(jaxpr, target.chip.platform),
        kernels,
        lowered,
    )


def compile_step(traced: Traced, target: Target) -> Compiled:
    """The step through the target's own compiler.

    Raises:
      jax.errors.JaxRuntimeError: it does not fit, among others.
    """
    with compiling_for(target), tpu_compile.uncached():
        began = time.perf_counter()
        program = traced.lowered.compile()
        seconds = time.perf_counter() - began
    text = program.as_text()
    return Compiled(seconds, text or "", program.memory_analysis())


@contextmanager
def compiling_for(target: Target) -> Iterator[None]:
    """Inside, kernels are chosen for the target."""
    if target.chip.platform == "tpu":
        with tpu_tiles.compiling_for(target.chip.name):
            yield
    else:
        with gpu_tiles.compiling_for(gpu_tiles.H100):
            yield


def population_is_single(experiment: Experiment) -> bool:
    return len(population.members(experiment)) == 1


def _jobs(job: Job) -> list[Job]:
    from research.training.job import with_settings

    members = population.members(job.experiment)
    if len(population.alike(members)) > 1:
        raise UserError("this population is of several programs: name one member")
    return [with_settings(job, one) for one in members.values()]


def _kernels(seen: list[choices.Choice]) -> list[Kernel]:
    """The calls, those of one shape together."""
    counts: dict[choices.Choice, int] = {}
    for choice in seen:
        counts[choice] = counts.get(choice, 0) + 1
    found = []
    for choice, calls in counts.items():
        passed: dict[str, str] = {}
        for name, backend in BACKENDS.items():
            if name == choice.backend:
                break
            passed[name] = passed_over(backend, choice.case) or "able"
        found.append(Kernel(choice.case._asdict(), calls, choice.backend, passed))
    return found


def _array(leaf: Any, ranks: int | None = None) -> jax.ShapeDtypeStruct:
    before = () if ranks is None else (ranks,)
    return jax.ShapeDtypeStruct((*before, *leaf.shape), leaf.dtype)
