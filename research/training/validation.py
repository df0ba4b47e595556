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
) -> None:
    """Writes samples of a state, if it draws any, and records how they vary."""
    if not evaluator.draws:
        return
    count = max(evaluator.medium.SHOWN, WATCHED)
    drawn = evaluator.draw(state, job.experiment.seed, count)
    if watched := evaluator.watched(drawn):
        record.metrics(step, seconds, watched)
    record.samples(step, drawn[: evaluator.medium.SHOWN], job.dataset)
