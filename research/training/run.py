"""One run from its settings to its summary."""

from pathlib import Path
from typing import Any

import numpy as np

from research.evaluation import Evaluator, held_out_measures
from research.experiment import Experiment
from research.training import loop
from research.training.checkpoints import Checkpoints
from research.training.record import Record, read_json, to_dict
from research.training.stamp import stamp
from research.training.stop import StopRequest

DRAW_SEED = 1_000_000  # of the scored pictures; far from the seeds of runs


def run(
    name: str,
    claim: str,
    experiment: Experiment,
    workdir: Path,
    stop: StopRequest,
) -> dict[str, Any]:
    """Trains, or goes on training, and measures; returns what summary.json holds.

    A run that is done already is not trained again.

    Args:
      name: of the experiment.
      claim: the first line of its docstring.
      experiment: its settings.
      workdir: see `research.training.record`.
      stop: set by signals while this runs.

    Raises:
      UserError: a mistake in the settings, or a workdir that cannot be used.
    """
    job = loop.prepare(name, experiment)
    about = {
        "experiment": name,
        "claim": claim,
        "family": experiment.model.family,
        "config": to_dict(experiment),
        "stamp": stamp(),
    }
    record = Record(workdir, about)
    summary = workdir / "summary.json"
    checkpoints = Checkpoints(workdir / "checkpoints")
    try:
        if summary.exists() and checkpoints.steps()[-1:] == [experiment.steps]:
            print(f"{name}: {workdir} is trained to step {experiment.steps} already")
            return read_json(summary)
        evaluator = Evaluator(job.task, job.dataset, job.held_out)
        outcome = loop.train(job, record, checkpoints, evaluator, stop)
        found = summarize(job, outcome, evaluator)
        if outcome.verdict in ("done", "nan"):
            record.summary(found)
        return found
    finally:
        checkpoints.close()
        record.close()


def summarize(
    job: loop.Job, outcome: loop.Outcome, evaluator: Evaluator
) -> dict[str, Any]:
    """What summary.json holds; the metrics only of a run that is done."""
    values: dict[str, Any] = {
        "experiment": job.name,
        "family": job.experiment.model.family,
        "verdict": outcome.verdict,
        "steps": outcome.step,
        "seconds": round(outcome.seconds, 3),
        "step_seconds": quartiles(outcome.step_seconds),
        "draw_seconds": None,
        "parameters": job.task.parameters(outcome.state),
        "metrics": {},
    }
    if outcome.verdict == "done":
        values |= measure(job, outcome.state, evaluator)
    return values


def measure(job: loop.Job, state: Any, evaluator: Evaluator) -> dict[str, Any]:
    """The final numbers: `metrics` with floors and intervals, and `draw_seconds`."""
    measures = {}
    if held_out := evaluator.held_out(state):
        measures |= held_out_measures(held_out, evaluator.draws)
    values: dict[str, Any] = {}
    count = job.experiment.score_pictures
    if evaluator.draws and count:
        drawn = evaluator.draw_many(state, DRAW_SEED, count)
        measures |= evaluator.scored(drawn.images)
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
