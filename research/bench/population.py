"""Sixteen seeds of the grid's perceptrons at once, beside one seed after another.

A row's time is one seed's share of a step; the ratio is that of a run alone over it:
how many times more steps are made in a second.

The first rows are of the steps by themselves, in the programs that `train` compiles,
many steps to a call. A run alone keeps one core busy, with matrix products nearly
alone where the networks are wide, so two cores bring little more than twice there. The
last row is of whole commands, as one types them: what starting, compiling and
measuring take is in it, which a population does once.
"""

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from kernels.measure import interleaved, row
from research.experiment import Data, Experiment
from research.models import mlp
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.training import layout
from research.training.cores import take_cores
from research.training.devices import repeated
from research.training.job import Job, prepare, with_settings
from research.training.members import Members
from research.training.strategies import COPIED, PLAIN, jit

SEEDS = 16
RUNS = 9
STEPS = 32  # of a call: some hundredths of a second
GAMES = {
    "non-saturating": Gan(ema=0.999),
    "pairing, R1, R2": Gan("relativistic", {"r1": 0.01, "r2": 0.01}, ema=0.999),
}
SIZES = (64, 128)  # hidden units, and as many samples a batch
COMMAND = [sys.executable, "-m", "launch", "train", "grid"]
COMMAND_STEPS = 1_000
OPTIONS = {
    "population": [["--population.seeds", str(SEEDS)]],
    # Four of sixteen commands one after another: they are all alike.
    "alone": [["--seed", str(seed)] for seed in range(4)],
}
ROUNDS = 3


def rows() -> Iterator[dict[str, Any]]:
    """Milliseconds a seed and step, of sixteen at once and of one alone, in turn."""
    cases = {
        f"grid, {game}, {size} units": [_seed(size, game, n) for n in range(SEEDS)]
        for size, game in itertools.product(SIZES, GAMES)
    }
    take_cores([dict(enumerate(seeds)) for seeds in cases.values()])
    for case, seeds in cases.items():
        first = prepare("bench", seeds[0])
        jobs = [with_settings(first, seed) for seed in seeds]
        calls = {"population": together(jobs), "alone": alone(first)}
        taken = interleaved(calls, RUNS)
        shares = {
            "population": taken["population"] / (STEPS * SEEDS),
            "alone": taken["alone"] / STEPS,
        }
        yield row("population", case, "population", "step", shares, ("alone",))
    what = f"all of {COMMAND_STEPS} steps"
    shares = commands()
    yield row("population", "train grid", "population", what, shares, ("alone",))


def together(jobs: list[Job]) -> Callable[[], None]:
    """One call makes STEPS steps of all jobs."""
    members = Members(jobs)
    place = layout.of(jobs[0].experiment, len(jobs))
    step = place.parallel(members.step(place.ranks), repeats=True)
    state = place.state(members.stack(members.initial_states()))
    return _steps(step, state, place.inputs(members.values, jobs[0].train.arrays))


def alone(job: Job) -> Callable[[], None]:
    """One call makes STEPS steps of one job, on one device."""
    members = Members([job])
    step = repeated(members.step(1))
    step = jit.parallel(step, (PLAIN, COPIED, COPIED), over=jax.devices()[:1])
    (state,) = members.initial_states()
    return _steps(step, state, (members.values, job.train.arrays))


def commands() -> dict[str, np.ndarray]:
    """Milliseconds a seed and step of `train grid`, from its start to its report.

    An untimed round before the others leaves all that they compile in JAX's cache.
    """
    rounds = [[_seconds(each) for each in OPTIONS.values()] for _ in range(1 + ROUNDS)]
    seeds = {"population": SEEDS, "alone": len(OPTIONS["alone"])}
    return {
        name: 1e3 * np.array(seconds) / (COMMAND_STEPS * seeds[name])
        for name, seconds in zip(OPTIONS, zip(*rounds[1:], strict=True), strict=True)
    }


def _seconds(commands: list[list[str]]) -> float:
    """Of these commands one after another, each in a new workdir."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for number, options in enumerate(commands):
            workdir = str(Path(folder) / str(number))
            steps = ["--steps", str(COMMAND_STEPS), "--workdir", workdir]
            subprocess.run(
                [*COMMAND, *steps, *options], stdout=subprocess.DEVNULL, check=True
            )
        return time.perf_counter() - start


def _steps(step: Any, state: Any, inputs: tuple) -> Callable[[], None]:
    held = [state]

    def call() -> None:
        held[0], metrics = step(held[0], STEPS, *inputs)
        jax.block_until_ready(metrics)

    return call


def _seed(size: int, game: str, seed: int) -> Experiment:
    """A seed of `experiments/grid.py` with networks and batch of this size."""
    return Experiment(
        steps=15_000,
        batch_size=size,
        data=Data("grid"),
        model=mlp.Model(hidden=size),
        task=GAMES[game],
        optimizer=Optimizer("adam", 1e-3, "cosine", beta1=0.5, beta2=0.9),
        seed=seed,
    )
