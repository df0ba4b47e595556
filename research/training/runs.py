"""One run among those that are trained at once: its parts, its standing, its end."""

import dataclasses
from typing import Any, NamedTuple

from research.evaluation import Evaluator
from research.training.checkpoints import Checkpoints
from research.training.job import Job
from research.training.record import Record


class Outcome(NamedTuple):
    """How a run ended."""

    verdict: str  # "done", "nan", "interrupted" or "preempted"
    step: int
    seconds: float  # of training, over all starts
    step_seconds: list[float]  # seconds a step, one for each log window of this start
    host_shares: list[float]  # of those windows, spent waiting for the host's batches
    state: Any  # numpy arrays, without a device axis; the last finite one
    skipped: int  # updates left out, as `--on-nan skip` asks
    rewinds: int  # times that the run went back, as `--on-nan rewind` asks


class Run(NamedTuple):
    """One run of those that are trained at once."""

    job: Job
    record: Record
    checkpoints: Checkpoints
    evaluator: Evaluator


@dataclasses.dataclass
class Standing:
    """How far one run is: what the last finite state seen is, and came by."""

    step: int
    state: Any  # numpy arrays, without a device axis
    skipped: int = 0  # updates left out by then, as `--on-nan skip` asks
    in_a_row: int = 0  # of them since the last that was made
    diverged: bool = False
