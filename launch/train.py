"""train NAME: trains, or goes on where a checkpoint left off, and measures."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from launch import _supervised as supervised
from launch import buckets
from launch._settings import Chosen, choose, claim, take_option
from research import parts
from research.errors import UserError
from research.experiment import Experiment
from research.training import stop as stops

EXIT_CODES = {
    "done": 0,
    "nan": 3,
    "unhealthy": 3,
    "preempted": stops.PREEMPTED,
    "interrupted": stops.INTERRUPTED,
}


def main(arguments: list[str]) -> int:
    """`train NAME [--workdir FOLDER] [--fail-on …] [--budget …] [settings]`."""
    workdir, rest = take_option(arguments, "--workdir")
    fail_on, rest = take_option(rest, "--fail-on")
    if not rest or rest[0].startswith("-"):
        raise UserError("which experiment? `launch/run list` names them")
    failures = failures_of(fail_on)
    also = ("--workdir FOLDER", "--fail-on collapsed,diverged,d_saturated")
    # From here on: a notice may also fall into the imports, and means: start again.
    with stops.listening() as stop:
        chosen = choose(rest[0], rest[1:], also)
        place = workdir or Path("runs") / chosen.name
        with _place_of_this_process(place, stop) as folder:
            verdict = train(chosen, folder, stop, failures)
    if verdict in ("interrupted", "preempted"):
        again = shlex.join(["launch/run", "train", *arguments])
        print(f"{verdict}, saved; go on with: {again}")
    return EXIT_CODES[verdict]


@contextlib.contextmanager
def _place_of_this_process(
    workdir: str | Path, stop: stops.StopRequest
) -> Iterator[Path]:
    """The folder to train in; of several processes the first one has the workdir."""
    how = os.environ.get(supervised.OF_CHILD)
    if how is None:
        with buckets.training(workdir, stop) as folder:
            yield folder
        return
    from research.training import processes

    with processes.joined(how, stop):
        first = processes.is_first()
        mine = buckets.training(workdir, stop) if first else processes.apart()
        with mine as folder:
            yield folder
            if buckets.is_bucket(workdir):  # the others wait for the first one's copy
                stop.answered.set()


def failures_of(fail_on: str | None) -> frozenset[str]:
    """The words of `--fail-on`, separated by commas.

    Raises:
      UserError: a word that no run's health has.
    """
    known = ["collapsed", "diverged", "d_saturated"]
    words = fail_on.split(",") if fail_on else []
    for word in words:
        if word not in known:
            raise UserError(f"--fail-on {word}{parts.suggestion(word, known)}")
    return frozenset(words)


def train(
    chosen: Chosen,
    folder: Path,
    stop: stops.StopRequest,
    failures: frozenset[str] = frozenset(),
) -> str:
    """Trains one run, or each of a comparison, and writes the report; the verdict.

    "unhealthy" if all were trained to the end and the health of one is in `failures`.
    """
    from research import population
    from research.experiment import members
    from research.training import processes
    from research.training.cores import take_cores
    from research.training.run import run

    several = members(chosen.settings)
    workdirs: list[Path] = []
    failed: list[str] = []
    runs = several or {chosen.name: chosen.settings}
    together = [population.members(experiment) for experiment in runs.values()]
    take_cores(together)
    if sum(len(population.alike(members)) for members in together) > 1:
        _refuse(runs, alone=not several)
    for name, experiment in runs.items():
        if reason := processes.asked(stop.reason):
            return reason
        place = folder / name if several else folder
        found = run(name, claim_of(name, chosen), experiment, place, stop)
        for workdir, summary in found.items():
            if summary["verdict"] == "nan":
                tell_of_nan(summary, workdir)
        verdict = verdict_of(summary["verdict"] for summary in found.values())
        if verdict != "done":
            return verdict
        workdirs += found
        failed += [
            f"{workdir} {summary['health']}"
            for workdir, summary in found.items()
            if summary.get("health") in failures
        ]
    if processes.is_first():
        report(folder, workdirs)
    if failed:
        print(f"train: --fail-on: {', '.join(failed)}", file=sys.stderr)
    return "unhealthy" if failed else "done"


def _refuse(runs: Mapping[str, Experiment], alone: bool) -> None:
    """Raises UserError for a mistake in a run, before one that precedes it is trained.

    Args:
      runs: the settings of each by its name.
      alone: it is no comparison, of which a mistake names the run.
    """
    from research.training.run import refuse

    for name, experiment in runs.items():
        try:
            refuse(name, experiment)
        except UserError as error:
            raise UserError(str(error) if alone else f"{name}: {error}") from None


def verdict_of(verdicts: Iterable[str]) -> str:
    """That of several runs: "nan" only if none of them came to a good end."""
    found = set(verdicts)
    return next(v for v in ("interrupted", "preempted", "done", "nan") if v in found)


def report(folder: Path, workdirs: list[Path]) -> None:
    """Writes the page and says its headline and where it is."""
    from research.reports.page import headline, write_report
    from research.reports.runs import read_runs

    runs = read_runs(workdirs)
    page = write_report(folder, runs)
    print(headline(runs))
    print(f"report: {page}")


def claim_of(name: str, chosen: Chosen) -> str:
    """The claim of a comparison's member is that of its own experiment."""
    if name in parts.names("experiments"):
        return claim(parts.find("experiments", name))
    return chosen.claim


def tell_of_nan(found: dict, place: Path) -> None:
    """Says what stopped a run that diverged, and what is left of it."""
    step = found["steps"]
    kept = f"the last good state, of step {step}, is in {place}"
    print(
        f"train: a loss or a weight of {found['experiment']} is not finite; "
        f"{kept if step else 'no state was saved before'}: lower "
        f"--optimizer.learning-rate or set --optimizer.clip-norm; `launch/run inspect "
        f"{place} --not-finite` tells where it began, --on-nan skip or rewind goes on",
        file=sys.stderr,
    )
