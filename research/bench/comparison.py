"""The main job as a user runs it: its time and memory, how soon it resumes, and what
saving and the host's batches take of a run.

Whole processes on this machine, the compilation cache as it is found.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRAIN = [sys.executable, "-m", "launch", "train"]
SHORT_RUN = ["steady_gan", "--budget", "minutes", "--log-every", "1"]
# The article's pair at its full width, with what takes time beside the steps.
FED_RUN = [
    "seed_gan", "--steps", "200", "--batch-size", "128", "--checkpoint-every", "100",
    "--data.placement", "host", "--score-pictures", "400",
]  # fmt: skip


def rows() -> Iterator[dict[str, Any]]:
    """Seconds from start to report, peak memory, seconds until a resumed run steps."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        _finish(subprocess.Popen([*TRAIN, "gan_vs_lstm", "--workdir", folder]))
        yield _row("start to report", time.perf_counter() - start, "s")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        yield _row("peak memory", peak / 2**20, "GiB")
    with tempfile.TemporaryDirectory() as folder:
        yield _row("resumed to first step", seconds_to_resume(Path(folder)), "s")
    with tempfile.TemporaryDirectory() as folder:
        for what, share in shares(Path(folder)).items():
            yield _row(what, 100 * share, "%", "seed_gan")


def shares(workdir: Path) -> dict[str, float]:
    """Of FED_RUN: saving's share of the wall time, waiting's of a step's."""
    _finish(subprocess.Popen([*TRAIN, *FED_RUN, "--workdir", workdir]))
    found = json.loads((workdir / "summary.json").read_text())
    wall = found["wall_seconds"]
    return {
        "saving every 100 steps": wall["saving"] / sum(wall.values()),
        "waiting for batches": found["host_share"]["median"],
    }


def seconds_to_resume(workdir: Path) -> float:
    """Kills a run after its first checkpoint and times its successor's first step."""
    command = [*TRAIN, *SHORT_RUN, "--checkpoint-every", "20", "--workdir", workdir]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _wait_for_step(run, workdir, 25)
    run.send_signal(signal.SIGKILL)
    run.wait()
    start = time.perf_counter()
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    # The new run first drops what was recorded after the checkpoint, then adds to it.
    _wait_for_step(run, workdir, 21, since=time.time())
    seconds = time.perf_counter() - start
    run.send_signal(signal.SIGKILL)
    run.wait()
    return seconds


def _wait_for_step(
    run: subprocess.Popen, workdir: Path, step: int, since: float = 0.0
) -> None:
    metrics = workdir / "metrics.jsonl"
    while run.poll() is None:
        if metrics.exists() and os.path.getmtime(metrics) > since:
            lines = metrics.read_text().splitlines()
            if lines and json.loads(lines[-1])["step"] >= step:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the run in {workdir} ended before step {step}")


def _finish(run: subprocess.Popen) -> None:
    if run.wait():
        raise RuntimeError(f"{run.args} ended with code {run.returncode}")


def _row(
    what: str, value: float, unit: str, case: str = "gan_vs_lstm"
) -> dict[str, Any]:
    return {
        "bench": "comparison",
        "case": case,
        "backend": "ours",
        "what": what,
        "median": value,
        "q25": value,
        "q75": value,
        "runs": 1,
        "unit": unit,
        "ratios": {},
    }
