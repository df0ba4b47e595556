"""Commands as a user types them, in processes of their own, and two small runs."""

import contextlib
import fcntl
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
SAVES = "--checkpoint-every 4 --log-every 1"
GAN = (
    "seed_gan --steps 40 --batch-size 8 --model.width 2 --model.latent 5 "
    f"--task.ema 0.9 --score-pictures 400 {SAVES}"
)
LSTM = (
    "seed_lstm --steps 40 --batch-size 8 --model.hidden 4 --validation-examples 50 "
    f"{SAVES}"
)


class Launch:
    """`python -m launch`, on four CPU devices, with data prepared once a session."""

    GAN, LSTM = tuple(GAN.split()), tuple(LSTM.split())

    def __init__(self, folder: Path):
        self.data = str(folder)
        self._environment = os.environ | {"TFDS_DATA_DIR": self.data}

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Runs it to its end."""
        return subprocess.run(self._command(arguments), **self._settings())

    def start(self, *arguments: object, **variables: str) -> subprocess.Popen[str]:
        """Starts it, its output in pipes, with more environment variables."""
        settings = self._settings()
        settings["env"] = settings["env"] | variables
        del settings["capture_output"], settings["timeout"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self._command(arguments), **settings, **pipes)

    def within(self, *arguments: object) -> tuple[int, str, str]:
        """Runs it in this process: its exit code, output and errors."""
        out, error = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(error),
        ):
            patch.setattr(os, "environ", self._environment)
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as end:  # the command line parsers' own
                code = end.code
        assert isinstance(code, int)
        return code, out.getvalue(), error.getvalue()

    def hashes(self, workdir: Path) -> dict[int, str]:
        """Kept steps and the hashes of their states, by `inspect --json`."""
        code, out, error = self.within("inspect", workdir, "--json")
        assert code == 0, error
        return {int(k): v for k, v in json.loads(out)["states"].items()}

    def logged_steps(self, workdir: Path) -> list[int]:
        """Steps of the whole lines of metrics.jsonl."""
        path = workdir / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line)["step"] for line in lines if line.endswith("\n")]

    def wait_for_step(self, process: subprocess.Popen, workdir: Path, step: int):
        """Returns as soon as the run has logged `step`."""
        while process.poll() is None:
            if self.logged_steps(workdir)[-1:] >= [step]:
                return
            time.sleep(0.005)
        raise AssertionError(f"ended before step {step}: {process.communicate()}")

    def _command(self, arguments):
        return [sys.executable, "-m", "launch", *map(str, arguments)]

    def _settings(self):
        return {
            "cwd": ROOT,
            "env": self._environment,
            "text": True,
            "capture_output": True,
            "timeout": 300,
        }


@pytest.fixture(scope="session")
def of_all(tmp_path_factory):
    """A folder that the tests' processes share, where several run them."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    (folder / "launch").mkdir(exist_ok=True)
    return folder / "launch"


@pytest.fixture(scope="session")
def launch(of_all):
    return Launch(of_all / "data")


def trained(launch, of_all, arguments):
    """Workdir of a run in one go, and the ended process; who comes first starts it."""
    workdir, printed = of_all / arguments[0], of_all / f"{arguments[0]}.json"
    with (of_all / f"{arguments[0]}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            done = launch("train", *arguments, "--workdir", workdir)
            assert done.returncode == 0, done.stderr
            printed.write_text(json.dumps([done.stdout, done.stderr]))
    return workdir, subprocess.CompletedProcess(
        arguments, 0, *json.loads(printed.read_text())
    )


@pytest.fixture(scope="session")
def gan_run(launch, of_all):
    """The workdir of a small GAN trained in one go, and what it printed."""
    return trained(launch, of_all, launch.GAN)


@pytest.fixture(scope="session")
def lstm_run(launch, of_all):
    """The workdir of a small LSTM trained in one go, and what it printed."""
    return trained(launch, of_all, launch.LSTM)
