"""Runs that are cut short at random moments: how often, by whom, and of what.

The short form is a part of all tests. The full form, `launch/run test chaos`, does what
the short one does as often as a claim needs. tests/launch/test_processes.py has what is
done to runs of several processes.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from launch._settings import choose
from research.training.files import read_metrics

ROOT = Path(__file__).resolve().parents[2]


class Counts(NamedTuple):
    """How often a form does each thing."""

    kills: int
    notices: int
    interrupts: int  # Ctrl-C twice
    damages: int


FORMS = {"short": Counts(1, 1, 1, 6), "full": Counts(50, 20, 20, 30)}
EVERYTHING = "--batch-size 8 --checkpoint-every 3 --log-every 1"
COMMANDS = {
    # BatchNorm, spectral vectors, a moving average, two optimizers, penalties.
    "gan": "ring --data.name digits_8 --model.shape 8 8 1 --model.bounded --model.norm "
    "--model.spectral --model.hidden 8 --model.layers 1 --task.ema 0.9 "
    f"--optimizer.schedule constant --score-pictures 0 {EVERYTHING}",
    # The state of eight streams of text, carried from a step to the next.
    "lstm": "text_lstm --data.name text --data.length 8 --model.hidden 8 "
    "--model.embedding 4 --validation-examples 8 --task.draw-length 1 "
    f"--score-pictures 0 {EVERYTHING}",
}
TEXT = ROOT / "README.md"


class Start:
    """One start of `train`, going on or over."""

    def __init__(self, forks: subprocess.Popen[str], output: Path, arguments: list):
        self._forks, self._output = forks, output
        assert forks.stdin is not None
        assert forks.stdout is not None
        output.unlink(missing_ok=True)
        print(json.dumps([str(output), *arguments]), file=forks.stdin, flush=True)
        self.process = int(forks.stdout.readline())

    def send(self, number: int) -> None:
        """Sends a signal; one that comes after the end goes nowhere."""
        try:
            os.kill(self.process, number)
        except ProcessLookupError:
            print(f"{signal.Signals(number).name} came after the end")

    def wait(self) -> int:
        """The exit code, or the negative of the signal that ended it."""
        assert self._forks.stdout is not None
        return os.waitstatus_to_exitcode(int(self._forks.stdout.readline()))

    def wait_for_output(self) -> None:
        """Returns when the process has begun, about to listen to signals."""
        while not self._output.exists():
            time.sleep(0.005)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text()


class Chaos:
    """Starts training in workdirs, and tells what is in them."""

    def __init__(self, counts: Counts, seed: int, folder: Path):
        self.counts, self.random = counts, random.Random(seed)
        self._folder = folder
        shutil.copy(TEXT, folder / "text")  # it may be edited meanwhile
        settings = {"TFDS_DATA_DIR": str(folder / "data"), "JAX_NUM_CPU_DEVICES": "1"}
        self._forks = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forking.py"))],
            cwd=ROOT,
            env=os.environ | settings | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def train(self, family: str, steps: int, workdir: Path) -> Start:
        """Starts a run of a family, or goes on with it."""
        arguments = [*COMMANDS[family].split(), "--steps", str(steps)]
        if family == "lstm":
            arguments += ["--data.path", str(self._folder / "text")]
        output = self._folder / "output"
        place = ["--workdir", str(workdir)]
        return Start(self._forks, output, ["train", *arguments, *place])

    def wait_for_a_step(self, start: Start, workdir: Path, after: int) -> None:
        """Returns once a step above `after` is logged, or the start is over."""
        while not any(line["step"] > after for line in read_metrics(workdir)):
            time.sleep(0.005)
            assert Path(f"/proc/{start.process}").exists(), start.output

    def close(self) -> None:
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        self._forks.stdin.close()
        self._forks.wait()
        self._forks.stdout.close()


@pytest.fixture(scope="session")
def settings_of():
    """The experiment that a family trains, with another seed."""

    def find(family, seed):
        name, *arguments = COMMANDS[family].split()
        return choose(name, [*arguments, "--seed", str(seed)]).settings

    return find


@pytest.fixture(scope="session")
def chaos(tmp_path_factory):
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    form = os.environ.get("CHAOS", "short")
    print(f"{form} form, CHAOS_SEED={seed}")
    made = Chaos(FORMS[form], seed, tmp_path_factory.mktemp("chaos"))
    yield made
    made.close()
