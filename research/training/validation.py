"""What is measured and drawn at a checkpoint."""

from typing import Any

from research.evaluation import WATCHED, Evaluator, averages
from research.training.job import Job
from research.training.record import Record


def held_out(
    record: Record, evaluator: Evaluator, step: int, seconds: float, state: Any
) -> str:
    """Records the held-out losses of a state; tells them in words, if there are any."""
    found = {
        f"validation_{name}": value
        for name, value in averages(evaluator.held_out(state)).items()
    }
    if found:
        record.metrics(step, seconds, found)
    return "  ".join(f"{name} {value:.4f}" for name, value in found.items())


def samples(
    job: Job,
    record: Record,
    evaluator: Evaluator,
    step: int,
    seconds: float,
    state: Any,
    told: bool = False,
) -> None:
    """Writes samples of a state, if it draws any, and records how they vary.

    Args:
      job, record, evaluator: of the run.
      step, seconds, state: now.
      told: how they vary is recorded already.
    """
    if not evaluator.draws:
        return
    count = max(evaluator.medium.SHOWN, WATCHED)
    drawn = evaluator.draw(state, job.experiment.seed, count)
    watched = {} if told else evaluator.watched(drawn)
    if watched:
        record.metrics(step, seconds, watched)
    record.samples(step, drawn[: evaluator.medium.SHOWN], job.dataset)


def complete(
    job: Job,
    record: Record,
    evaluator: Evaluator,
    step: int,
    seconds: float,
    state: Any,
) -> None:
    """What `held_out` and `samples` write, in that order, but for what is there."""
    names = record.names(step)
    now = step, seconds, state
    if not any(name.startswith("validation_") for name in names):
        held_out(record, evaluator, *now)
    if not record.has_samples(step, job.dataset):
        told = any(name.startswith("sample_") for name in names)
        samples(job, record, evaluator, *now, told=told)
