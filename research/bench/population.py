"""Sixteen seeds of the grid's perceptrons at once, beside one seed after another.

A row's time is one seed's share of a step, in the programs that `train` compiles, many
steps to a call. The ratio is that of a run alone over it: how many times more steps
are made in a second.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax

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
