"""An experiment's own training step, compiled for devices that are not here."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
from jax.interpreters.partial_eval import dce_jaxpr

from kernels.lstm import choices, gpu_tiles, tpu_compile, tpu_tiles
from kernels.lstm.dispatch import BACKENDS, passed_over
from launch.ahead import products
from launch.ahead.targets import Target, devices
from research.data import find as find_data
from research.errors import UserError
from research.experiment import Experiment
from research.sources.split import Split
from research.training import devices as training
from research.training import layout
from research.training.axes import BATCH
from research.training.job import (
    Job,
    example_batch,
    refuse_batches,
    refuse_wrong,
    state_like,
    task_of,
    with_settings,
)
from research.training.members import Members
from research.training.not_finite import guarded


class Kernel(NamedTuple):
    """Calls of the LSTM op of one shape in a step."""

    case: dict[str, Any]
    calls: int
    backend: str
    passed_over: dict[str, str]  # backends before it, and why they cannot


class Traced(NamedTuple):
    """A step before compilation."""

    job: Job
    ranks: int  # devices that share a batch
    state: Any  # shapes of one device's
    arrays: Any  # shapes of the data set's
    work: products.Work  # of matrix products, on one device
    largest: products.Layer
    kernels: list[Kernel]
    lowered: Any


class Compiled(NamedTuple):
    """What the compiler made of a step."""

    seconds: float
    text: str
    memory: Any  # jax's CompiledMemoryStats


def jobs_of(
    name: str, experiments: Sequence[Experiment], target: Target
) -> tuple[list[Job], str | None]:
    """The jobs that `train` would run, and why their data was not read, or None.

    Args:
      name: of the experiment.
      experiments: its runs that one program trains, see `population.alike`.
      target: to compile for.

    Raises:
      UserError: what `train` would refuse on that target.
    """
    first, unread = _first_job(name, experiments[0], target)
    jobs = [first, *(with_settings(first, other) for other in experiments[1:])]
    if experiments[0].data.placement == "host":
        layout.refuse_seeds(jobs)
    return jobs, unread


def _first_job(
    name: str, experiment: Experiment, target: Target
) -> tuple[Job, str | None]:
    """Only shapes matter here: a data set that cannot be had, but says what its
    pictures are, is taken at its word."""
    refuse_wrong(experiment, target.devices)
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


def trace(jobs: Sequence[Job], target: Target) -> Traced:
    """The step of `research.training.loop`, traced and lowered for every device.

    Args:
      jobs: trained at once.
      target: to compile for.

    Raises:
      UserError: the batch does not divide, or exceeds the data.
    """
    job, experiment = jobs[0], jobs[0].experiment
    refuse_wrong(experiment, target.devices)
    if experiment.batch_size > job.train.examples:
        raise UserError(
            f"--batch-size {experiment.batch_size} exceeds the {job.train.examples} "
            f"training examples of {experiment.data.name}: take at most that"
        )
    members = Members(jobs)
    place = layout.of(experiment, len(members.jobs), devices(target), target.hosts)
    ranks = place.ranks
    with compiling_for(target):
        state, given = _shapes(members, ranks)
        own_state, own_values = place.share((state, members.values))
        step = members.step(ranks)
        with choices.watched() as seen:
            jaxpr = jax.make_jaxpr(step, axis_env=[(BATCH, ranks)])(
                own_state, own_values, given
            ).jaxpr
        # Gradients that nobody asks for are traced, and left out by every compiler.
        jaxpr, _ = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), instantiate=True)
        lowered = place.parallel(members.step(ranks), repeats=False).lower(
            *place.shapes(state, members.values, given)
        )
        kernels = _kernels(seen)
    return Traced(
        job,
        ranks,
        own_state,
        given,
        products.work(jaxpr, target.chip.platform),
        products.largest(jaxpr, target.chip.platform),
        kernels,
        lowered,
    )


def _shapes(members: Members, ranks: int) -> tuple[Any, Any]:
    """Shapes of the stacked states, and of the data's arrays or a device's batch."""
    job = members.jobs[0]
    # Shapes of the state do not depend on the batch: one that divides here too.
    local = training.share(job.experiment.batch_size, ranks)
    here = local * jax.device_count()
    job = job._replace(experiment=dataclasses.replace(job.experiment, batch_size=here))
    state = state_like(job)
    if job.experiment.on_nan == "skip":
        state = jax.eval_shape(lambda bare: guarded(bare, 0, 0), state)
    if len(members.jobs) > 1:
        state = jax.tree.map(lambda leaf: _array(leaf, len(members.jobs)), state)
    on_device = job.experiment.data.placement == "device"
    given = dict(job.train.arrays) if on_device else example_batch(job)
    return state, jax.tree.map(_array, given)


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
