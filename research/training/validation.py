"""What is measured and drawn at a checkpoint."""

from typing import Any

from research.evaluation import WATCHED, averages
from research.training.runs import Run


def held_out(run: Run, step: int, seconds: float, state: Any) -> str:
    """Records the held-out losses of a state; tells them in words, if there are any."""
    found = {
        f"validation_{name}": value
        for name, value in averages(run.evaluator.held_out(state)).items()
    }
    if found:
        run.record.metrics(step, seconds, found)
    return "  ".join(f"{name} {value:.4f}" for name, value in found.items())


def samples(
    run: Run, step: int, seconds: float, state: Any, told: bool = False
) -> None:
    """Writes samples of a state, if it draws any, and records how they vary.

    Args:
      run: whose state it is.
      step, seconds, state: now.
      told: how they vary is recorded already.
    """
    if not run.evaluator.draws:
        return
    count = max(run.evaluator.medium.SHOWN, WATCHED)
    drawn = run.evaluator.draw(state, run.job.experiment.seed, count)
    watched = {} if told else run.evaluator.watched(drawn)
    if watched:
        run.record.metrics(step, seconds, watched)
    run.record.samples(step, drawn[: run.evaluator.medium.SHOWN], run.job.dataset)


def complete(run: Run, step: int, seconds: float, state: Any) -> None:
    """What `held_out` and `samples` write, in that order, but for what is there."""
    names = run.record.names(step)
    now = step, seconds, state
    if not any(name.startswith("validation_") for name in names):
        held_out(run, *now)
    if not run.record.has_samples(step, run.job.dataset):
        told = any(name.startswith("sample_") for name in names)
        samples(run, *now, told=told)
