"""What preflight found out about one experiment on one target."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.errors

from launch.ahead import bound, failures, memory, program, step
from launch.ahead.targets import Target
from research.experiment import Experiment
from research.training.job import Job


class Finding(NamedTuple):
    """All of it; what only a compiled step has is None where it does not fit."""

    experiment: str
    target: Target
    batch_size: int
    ranks: int  # devices that share a batch: of a population not all of them
    why_not: str | None  # a sentence; None: it fits
    memory: dict[str, int]
    kernels: list[step.Kernel]
    flops: float  # of one device
    bound: bound.Bound | None
    collectives: list[program.Collective] | None
    trace_seconds: float
    compile_seconds: float | None
    unread: str | None  # why the data was not read

    @property
    def fits(self) -> bool:
        return self.why_not is None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        target, chip = self.target, self.target.chip
        limit = self.bound
        exchanged = self.collectives
        return {
            "experiment": self.experiment,
            "target": target.name,
            "topology": target.topology,
            "chips": target.chips,
            "devices": target.devices,
            "hosts": target.hosts,
            "batch_size": self.batch_size,
            "batch_per_device": self.batch_size // self.ranks,
            "fits": self.fits,
            "why_not": self.why_not,
            "memory_bytes_per_device": self.memory,
            "kernels": [kernel._asdict() for kernel in self.kernels],
            "flops_per_device": self.flops,
            "lower_bound": limit
            and {"seconds": limit.seconds, "set_by": limit.set_by} | limit._asdict(),
            "collectives": exchanged and [c._asdict() for c in exchanged],
            "peaks_per_device": chip.of_device()._asdict(),
            "trace_seconds": round(self.trace_seconds, 2),
            "compile_seconds": self.compile_seconds and round(self.compile_seconds, 2),
            "data_not_read": self.unread,
        }


def find(name: str, experiments: Sequence[Experiment], target: Target) -> Finding:
    """Traces and compiles the step of runs that one program trains.

    Raises:
      UserError: a mistake in the settings.
    """
    jobs, unread = step.jobs_of(name, experiments, target)
    return of_jobs(jobs, target, unread)


def of_jobs(jobs: Sequence[Job], target: Target, unread: str | None = None) -> Finding:
    """The same for jobs whose data is at hand."""
    began, job = time.perf_counter(), jobs[0]
    traced = step.trace(jobs, target)
    seconds = time.perf_counter() - began
    found = Finding(
        job.name,
        target,
        job.experiment.batch_size,
        traced.ranks,
        None,
        memory.least(traced),
        traced.kernels,
        traced.work.flops,
        None,
        None,
        seconds,
        None,
        unread,
    )
    command = f"launch/run preflight {job.name} --target {target.name} --largest-batch"
    try:
        compiled = step.compile_step(traced, target)
    except jax.errors.JaxRuntimeError as error:
        why = failures.sentence(str(error), traced.largest, target, command)
        if why is None:
            raise
        return found._replace(why_not=why)
    used = memory.of(traced, compiled, target.chip)
    exchanged = program.collectives(compiled.text) if traced.ranks > 1 else []
    found = found._replace(
        memory=used._asdict() | {"total": used.total},
        collectives=exchanged,
        bound=bound.of(
            target.chip,
            traced.ranks,
            traced.work,
            memory.state_bytes(traced),
            exchanged,
        ),
        compile_seconds=compiled.seconds,
    )
    if used.total > used.available:
        sizes = f"({used.total / 2**30:.2f}G) exceeds ({used.available / 2**30:.2f}G)"
        message = f"out of memory: {sizes}"
        why = failures.sentence(message, traced.largest, target, command)
        return found._replace(why_not=why)
    return found


class Largest(NamedTuple):
    """The end of a search."""

    batch_size: int  # the largest that was seen to fit; 0: none
    refused: int | None  # the smallest that was seen not to; None: the data ended it
    why_not: str | None  # of that one
    compiled: int  # steps


def largest_batch(
    name: str, experiments: Sequence[Experiment], target: Target
) -> Largest:
    """The largest batch that fits, to a sixteenth of itself.

    All of the data first, which small networks take; then halves of what is left.
    """
    jobs, _ = step.jobs_of(name, experiments, target)
    unit = target.devices * jobs[0].experiment.optimizer.accumulate
    most = jobs[0].train.examples // unit

    reasons: dict[int, str | None] = {}  # of every batch that was tried

    def fits(shares: int) -> bool:
        wanted = [_with_batch(job, shares * unit) for job in jobs]
        reasons[shares] = of_jobs(wanted, target).why_not
        return reasons[shares] is None

    if most and fits(most):
        return Largest(most * unit, None, None, 1)
    good, bad = 0, most
    now = jobs[0].experiment.batch_size // unit
    candidate = min(max(now, 1), max(most - 1, 1))
    while bad - good > max(1, good // 16):
        if fits(candidate):
            good = candidate
            candidate = min(4 * good, (good + bad) // 2)
        else:
            bad = candidate
            candidate = (good + bad) // 2
    return Largest(good * unit, bad * unit, reasons.get(bad), len(reasons))


def _with_batch(job: Job, size: int) -> Job:
    wanted = dataclasses.replace(job.experiment, batch_size=size)
    return job._replace(experiment=wanted)
