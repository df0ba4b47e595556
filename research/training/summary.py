"""What is told of a run at its end: final measures, times, how it ended."""

from typing import Any

import numpy as np

from research.evaluation import Evaluator, held_out_measures
from research.training.job import Job
from research.training.loop import Outcome

DRAW_SEED = 1_000_000  # of the scored samples; far from the seeds of runs


def evaluator_of(job: Job) -> Evaluator:
    """The compiled measurements of a job."""
    examples = job.experiment.validation_examples
    return Evaluator(job.task, job.dataset, job.train, job.held_out, examples)


def summarize(
    job: Job, outcome: Outcome, evaluator: Evaluator, at_once: int = 1
) -> dict[str, Any]:
    """What summary.json holds; the metrics only of a run that is done.

    Args:
      job: of the run.
      outcome: how it ended.
      evaluator: of the job.
      at_once: runs that the same steps trained; all seconds are those of them together.
    """
    values: dict[str, Any] = {
        "experiment": job.name,
        "family": job.experiment.model.family,
        "verdict": outcome.verdict,
        "steps": outcome.step,
        "trained_at_once": at_once,
        "seconds": round(outcome.seconds, 3),
        "step_seconds": quartiles(outcome.step_seconds),
        "host_share": quartiles(outcome.host_shares),
        "draw_seconds": None,
        "skipped_updates": outcome.skipped,
        "rewinds": outcome.rewinds,
        "parameters": job.task.parameters(outcome.state),
        "metrics": {},
    }
    if outcome.verdict == "done":
        values |= measure(job, outcome.state, evaluator)
    return values


def measure(job: Job, state: Any, evaluator: Evaluator) -> dict[str, Any]:
    """The final numbers: `metrics` with floors and intervals, and `draw_seconds`."""
    measures = {}
    if held_out := evaluator.held_out(state):
        medium = evaluator.medium if evaluator.draws else None
        measures |= held_out_measures(held_out, medium, **evaluator.blocks())
        if hasattr(job.dataset, "baselines"):
            measures |= job.dataset.baselines(job.train, job.held_out)
    measures |= evaluator.read_in_order(state)
    values: dict[str, Any] = {}
    count = job.experiment.score_pictures
    if evaluator.draws and count:
        drawn = evaluator.draw_many(state, DRAW_SEED, count)
        measures |= evaluator.scored(drawn.samples)
        measures |= evaluator.copying(drawn.samples)
        values["draw_seconds"] = round(drawn.seconds_per_1000, 4)
    return values | {"metrics": {n: m.to_dict() for n, m in measures.items()}}


def quartiles(samples: list[float]) -> dict[str, Any] | None:
    """Median, quartiles and number of the samples; None without any."""
    if not samples:
        return None
    q25, median, q75 = np.percentile(samples, [25, 50, 75])
    return {
        "median": round(float(median), 5),
        "q25": round(float(q25), 5),
        "q75": round(float(q75), 5),
        "runs": len(samples),
    }
