"""The main job as a user runs it: its time and memory, and how soon it resumes.

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


def _row(what: str, value: float, unit: str) -> dict[str, Any]:
    return {
        "bench": "comparison",
        "case": "gan_vs_lstm",
        "backend": "ours",
        "what": what,
        "median": value,
        "q25": value,
        "q75": value,
        "runs": 1,
        "unit": unit,
        "ratios": {},
    }
