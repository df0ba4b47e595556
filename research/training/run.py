"""One run from its settings to its summary."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from research import media
from research.errors import UserError
from research.evaluation import Evaluator, held_out_measures
from research.experiment import Experiment
from research.settings import from_dict, to_dict
from research.training import loop
from research.training.checkpoints import Checkpoints
from research.training.record import Record, read_json
from research.training.stamp import stamp
from research.training.stop import StopRequest

DRAW_SEED = 1_000_000  # of the scored samples; far from the seeds of runs


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
        "medium": media.name_of(job.dataset),
        "config": to_dict(experiment),
        "data": {"train": job.train.fingerprint, "held_out": job.held_out.fingerprint},
        "stamp": stamp(),
    }
    record = Record(workdir, about)
    summary = workdir / "summary.json"
    checkpoints = Checkpoints(workdir / "checkpoints")
    try:
        if summary.exists() and checkpoints.steps()[-1:] == [experiment.steps]:
            print(f"{name}: {workdir} is trained to step {experiment.steps} already")
            return read_json(summary)
        evaluator = evaluator_of(job)
        outcome = loop.train(job, record, checkpoints, evaluator, stop)
        if outcome.verdict == "done":
            print(f"{name}: {outcome.step} steps in {outcome.seconds:.0f} s, measuring")
        found = summarize(job, outcome, evaluator)
        if outcome.verdict in ("done", "nan"):
            record.summary(found)
        return found
    finally:
        checkpoints.close()
        record.close()


class Trained(NamedTuple):
    """A run read back from its workdir."""

    job: loop.Job
    step: int
    state: Any  # numpy arrays, as a checkpoint holds them


def read(workdir: Path, step: int | None = None) -> Trained:
    """The settings and a checkpointed state of a run.

    Args:
      workdir: of the run.
      step: one of its checkpoints; None: the newest.

    Raises:
      UserError: no run there, or no such checkpoint.
    """
    about = read_json(workdir / "config.json")
    job = loop.prepare(about["experiment"], from_dict(about["config"]))
    checkpoints = Checkpoints(workdir / "checkpoints")
    try:
        kept = checkpoints.steps()
        if not kept or step not in (None, *kept):
            names = ", ".join(map(str, kept)) or "none yet"
            wanted = "" if step is None else f" {step}"
            raise UserError(
                f"{workdir} has no checkpoint{wanted} (kept: {names}): train it, or "
                f"name one that is kept"
            )
        step = kept[-1] if step is None else step
        return Trained(job, step, checkpoints.restore(step, loop.state_like(job)))
    finally:
        checkpoints.close()


def kept_states(workdir: Path) -> Iterator[tuple[int, Any]]:
    """Each committed checkpoint, ascending: step and state, as it lies on the disk."""
    checkpoints = Checkpoints(workdir / "checkpoints")
    try:
        for step in checkpoints.steps():
            yield step, checkpoints.restore(step)
    finally:
        checkpoints.close()


def evaluator_of(job: loop.Job) -> Evaluator:
    """The compiled measurements of a job."""
    examples = job.experiment.validation_examples
    return Evaluator(job.task, job.dataset, job.train, job.held_out, examples)


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
        measures |= evaluator.scored(drawn.samples)
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
