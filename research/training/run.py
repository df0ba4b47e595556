"""One run from its settings to its summary."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kernels.lstm.spec import UnsupportedCase
from research import media, population
from research.errors import UserError
from research.evaluation import Evaluator
from research.experiment import Experiment
from research.metrics import health
from research.settings import to_dict
from research.training import loop, processes
from research.training.checkpoints import Checkpoints
from research.training.files import read_json, read_metrics
from research.training.goodput import Goodput, told
from research.training.job import (
    Job,
    prepare,
    refuse_wrong,
    state_like,
    with_settings,
)
from research.training.record import Record
from research.training.stamp import machine, stamp
from research.training.stop import StopRequest
from research.training.summary import evaluator_of, summarize


def run(
    name: str,
    claim: str,
    experiment: Experiment,
    workdir: Path,
    stop: StopRequest,
) -> dict[Path, dict[str, Any]]:
    """Trains an experiment, all of its population at once; see `run_all`.

    A population's runs have their workdirs in `workdir`, each that of the same run
    trained alone; a single run has `workdir` itself.

    Args:
      name: of the experiment.
      claim: the first line of its docstring.
      experiment: its settings.
      workdir: see `research.training.record`.
      stop: set by signals while this runs.
    """
    members = population.members(experiment)
    if len(members) == 1:
        (one,) = members.values()
        return run_all(name, claim, {workdir: one}, stop)
    places = {workdir / member: one for member, one in members.items()}
    return run_all(name, claim, places, stop)


def refuse(name: str, experiment: Experiment) -> None:
    """Raises UserError for what `run` would, of the workdirs apart; writes nothing.

    For runs that come after others: their mistakes are told before those are trained.
    """
    members = population.members(experiment)
    for group in population.alike(members):
        _prepare(name, {member: members[member] for member in group})


def run_all(
    name: str, claim: str, experiments: Mapping[Path, Experiment], stop: StopRequest
) -> dict[Path, dict[str, Any]]:
    """Trains, or goes on training, runs by their workdirs, and measures them.

    Runs that differ in seeds and floats alone are trained at once by one program, such
    groups one after another. A run that is done already is not trained again.

    Returns:
      What each run's summary.json holds; of those that were not begun when `stop` was
      set only a verdict.

    Raises:
      UserError: a mistake in the settings, or a workdir that cannot be used.
    """
    found: dict[Path, dict[str, Any]] = {}
    for group in population.alike(experiments):
        members = {workdir: experiments[workdir] for workdir in group}
        if reason := processes.asked(stop.reason):
            found |= {workdir: {"verdict": reason} for workdir in group}
        else:
            found |= _run_together(name, claim, members, stop)
    return found


def _run_together(
    name: str, claim: str, experiments: Mapping[Path, Experiment], stop: StopRequest
) -> dict[Path, dict[str, Any]]:
    """`run_all` for runs of one structure."""
    found: dict[Path, dict[str, Any]] = {}
    with ExitStack() as stack:
        runs: dict[Path, loop.Run] = {}
        about = {"claim": claim, "stamp": stamp(map(to_dict, experiments.values()))}
        goodput = stack.enter_context(Goodput())
        with goodput.during("data"):
            jobs = _prepare(name, experiments)
        evaluators = _evaluators(list(jobs.values()))
        for (workdir, job), evaluator in zip(jobs.items(), evaluators, strict=True):
            opened = _open(job, evaluator, workdir, about, stack)
            if summary := processes.told(_summary(workdir, opened)):
                found[workdir] = summary
            else:
                runs[workdir] = opened
        if found and (lost := processes.told(_lost(runs))):
            found |= lost
            runs = {}
        _tell_of_done(name, found)
        if runs:
            found |= _train(name, runs, stop, goodput)
    return {workdir: found[workdir] for workdir in experiments}


def _prepare(name: str, experiments: Mapping[Any, Experiment]) -> dict[Any, Job]:
    """Each run's job; they share the data and, where their settings allow, the task.

    Raises:
      UserError: a mistake in the settings, what networks refuse included.
    """
    jobs: dict[Any, Job] = {}
    for which, experiment in experiments.items():
        if not jobs:
            jobs[which] = prepare(name, experiment)
            continue
        refuse_wrong(experiment)
        first = next(iter(jobs.values()))
        jobs[which] = with_settings(first, experiment)
    # Traced once: the start of the training asks again, and finds it in jax's cache.
    try:
        state_like(next(iter(jobs.values())))
    except UnsupportedCase as error:
        raise UserError(f"--model.{error}") from error
    return jobs


def _evaluators(jobs: list[Job]) -> list[Evaluator]:
    """Each job's evaluator, one for all that share model and task: it compiles."""
    found: list[Evaluator] = []
    settings = [(job.experiment.model, job.experiment.task) for job in jobs]
    for number, job in enumerate(jobs):
        first = settings.index(settings[number])
        found.append(found[first] if first < number else evaluator_of(job))
    return found


def _open(
    job: Job,
    evaluator: Evaluator,
    workdir: Path,
    about: dict[str, Any],
    stack: ExitStack,
) -> loop.Run:
    """Takes the workdir of a run until the stack is closed."""
    about = {
        "experiment": job.name,
        "claim": about["claim"],
        "family": job.experiment.model.family,
        "medium": media.name_of(job.dataset),
        "config": to_dict(job.experiment),
        "data": {"train": job.train.fingerprint, "held_out": job.held_out.fingerprint},
        "stamp": about["stamp"],
    }
    record = Record(workdir, about)
    stack.callback(record.close)
    checkpoints = Checkpoints(
        workdir / "checkpoints", made_with=machine(about["stamp"])
    )
    stack.callback(checkpoints.close)
    checkpoints.clear_uncommitted()
    return loop.Run(job, record, checkpoints, evaluator)


def _summary(workdir: Path, run: loop.Run) -> dict[str, Any] | None:
    """The summary of a run that is done; None of one that is not."""
    newest = run.checkpoints.steps()[-1:]
    file = workdir / "summary.json"
    if newest != [run.job.experiment.steps] or not file.exists():
        return None
    found = read_json(file)
    # One of a run that diverged, and was started again to go on, is not of its end.
    return found if found["verdict"] == "done" else None


def _tell_of_done(name: str, found: Mapping[Path, dict[str, Any]]) -> None:
    """Says which runs are not trained again."""
    done = {where: one for where, one in found.items() if one["verdict"] == "done"}
    if done:
        steps = next(iter(done.values()))["steps"]
        which = f"{next(iter(done))} is" if len(done) == 1 else f"{len(done)} runs are"
        lost = len(found) - len(done)
        also = f", and {lost} diverged on the way" if lost else ""
        print(f"{name}: {which} trained to step {steps} already{also}")


def _lost(runs: Mapping[Path, loop.Run]) -> dict[Path, dict[str, Any]]:
    """Summaries of what a population that is done has lost on the way, if that is all.

    Alone they would go on only to diverge once more; `--on-nan skip` may save them.
    """
    found = {}
    for workdir, run in runs.items():
        file = workdir / "summary.json"
        ended = run.record.has_diverged() and file.exists()
        if not ended or run.job.experiment.on_nan != "stop":
            return {}
        found[workdir] = read_json(file)
    return found


def _train(
    name: str, runs: Mapping[Path, loop.Run], stop: StopRequest, goodput: Goodput
) -> dict[Path, dict[str, Any]]:
    outcomes = loop.train(name, list(runs.values()), stop, goodput)
    if any(outcome.verdict == "done" for outcome in outcomes):
        steps = max(outcome.step for outcome in outcomes)
        print(f"{name}: {steps} steps in {outcomes[0].seconds:.0f} s, measuring")
    found = {}
    ended = list(zip(runs.items(), outcomes, strict=True))
    with goodput.during("evaluation"):
        for (workdir, run), outcome in ended:
            found[workdir] = summarize(run.job, outcome, run.evaluator, len(runs))
            found[workdir]["health"] = health.verdict(read_metrics(workdir))
    seconds = goodput.seconds()
    print(f"{name}: {told(seconds)}")
    for (workdir, run), outcome in ended:
        found[workdir]["wall_seconds"] = {k: round(v, 3) for k, v in seconds.items()}
        if outcome.verdict == "done":
            run.record.animate()
        run.record.ended(outcome.verdict, outcome.step)
        if outcome.verdict in ("done", "nan"):
            run.record.summary(found[workdir])
    return found
