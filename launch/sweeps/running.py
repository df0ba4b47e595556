"""Ways to run a sweep's points here. Only what is missing runs."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from launch.sweeps.points import Point
from launch.train import EXIT_CODES, verdict_of
from research.errors import UserError
from research.settings import to_dict
from research.training.cores import take_cores
from research.training.files import read_json
from research.training.record import refuse_other_settings
from research.training.run import run_all
from research.training.stop import StopRequest

CODES = {code: verdict for verdict, code in EXIT_CODES.items()}
POLL = 0.2  # seconds


def missing(name: str, found: Sequence[Point], folder: Path) -> list[Point]:
    """Points of an experiment that have no end yet; a run that diverged has one.

    Raises:
      UserError: the folder has a run of other settings under a point's name.
    """
    for point in found:
        workdir = folder / point.name
        if (workdir / "config.json").exists():
            new = {"experiment": name, "config": to_dict(point.experiment)}
            refuse_other_settings(workdir, read_json(workdir / "config.json"), new)
    return [point for point in found if verdict(folder / point.name) is None]


def verdict(workdir: Path) -> str | None:
    """How the run in a workdir ended, or None."""
    try:
        found = json.loads((workdir / "summary.json").read_text())["verdict"]
    except (OSError, ValueError, KeyError):
        return None
    return found if found in ("done", "nan") else None


def one_by_one(
    name: str, claim: str, found: Sequence[Point], folder: Path, stop: StopRequest
) -> str:
    """In this process; the verdict of all."""
    for number, point in enumerate(found, 1):
        if stop.reason is not None:
            return stop.reason
        print(f"sweep: {number} of {len(found)}, {point.name}", flush=True)
        ended = _run(name, claim, [point], folder, stop)
        if ended in ("interrupted", "preempted"):
            return ended
    return "done"


def population(
    name: str, claim: str, found: Sequence[Point], folder: Path, stop: StopRequest
) -> str:
    """In this process, alike ones at once by one program."""
    if stop.reason is not None:  # while a bucket was read
        return stop.reason
    take_cores([{point.name: point.experiment for point in found}])
    return _run(name, claim, found, folder, stop)


def processes(
    found: Sequence[Point], folder: Path, workers: int, stop: StopRequest
) -> str:
    """As so many processes of `train`, each writing into a log of its own."""
    if workers < 1:
        raise UserError(f"--workers is {workers}: give 1 or more")
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    waiting, running = list(found), dict[subprocess.Popen, Point]()
    verdicts = []
    try:
        while waiting or running:
            while waiting and len(running) < workers and stop.reason is None:
                point = waiting.pop(0)
                running[_start(point, folder, logs)] = point
            if stop.reason is not None:
                waiting.clear()
                for process in running:
                    process.terminate()  # saves, and ends with code 85
            for process in [p for p in running if p.poll() is not None]:
                point = running.pop(process)
                verdicts.append(_ended(process, point, logs, stop))
            time.sleep(POLL)
    finally:
        for process in running:
            process.terminate()
        for process in running:  # each saves: a bucket is written after that
            process.wait()
    return stop.reason or verdict_of([*verdicts, "done"])


def _run(
    name: str,
    claim: str,
    found: Sequence[Point],
    folder: Path,
    stop: StopRequest,
) -> str:
    runs = {folder / point.name: point.experiment for point in found}
    ended = run_all(name, claim, runs, stop)
    return verdict_of(summary["verdict"] for summary in ended.values())


def _start(point: Point, folder: Path, logs: Path) -> subprocess.Popen:
    workdir = folder / point.name
    command = [sys.executable, "-m", "launch", "train", *point.arguments]
    print(f"sweep: starts {point.name}", flush=True)
    with (logs / f"{point.name}.txt").open("a") as log:
        return subprocess.Popen(
            [*command, "--workdir", str(workdir)],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is told to them by this process, once
        )


def _ended(
    process: subprocess.Popen, point: Point, logs: Path, stop: StopRequest
) -> str:
    ended = CODES.get(process.returncode)
    if ended is None and stop.reason is None:
        log = logs / f"{point.name}.txt"
        last = (log.read_text().splitlines() or ["nothing"])[-1]
        raise UserError(
            f"{point.name} ended with exit code {process.returncode}: {last} "
            f"(all of it is in {log}); what was done stays, the same command goes on"
        )
    return ended or "nan"
