"""How often does a GAN collapse? Seven games, ten seeds each, on the grid of 25.

The same two perceptrons and optimizer for all arms; an arm changes the game alone. The
seeds of an arm are one population: one program trains them at once.

Cost: `--budget minutes` (64 units, batch 64, 8,000 steps) took about 40 minutes on two
cores that others kept busy; full (128 units, batch 128, 15,000 steps, where `grid`
reaches all modes) has not been run.
Expected: for minutes the networks are too small, and no arm reaches 25 modes at any
seed; measured mean modes ± standard error, reverse KL:
  packing 20.3 ± 0.8, 0.43 · relativistic_r1_r2 19.4 ± 0.6, 0.77
  minimax 19.2 ± 0.6, 0.81 · r1 18.3 ± 0.6, 0.74 · non_saturating 18.0 ± 0.9, 0.73
  lsgan 17.4 ± 0.9, 0.73 · wgan_gp 10.8 ± 1.6, 1.34 · wgan_clip 8.0 ± 1.4, 1.61
  hinge_spectral 2.5 ± 0.4, 2.71
Run:  python -m launch train gan_stability --budget minutes
"""

import dataclasses
from typing import Any, NamedTuple

from experiments import grid
from research.experiment import Budget, Experiment, Population
from research.models import mlp
from research.tasks.gan import Gan

SEEDS = 10


class Size(NamedTuple):
    """What a budget allows."""

    units: int
    batch: int
    steps: int
    rate: float


FULL = Size(128, 128, 15_000, 1e-3)
# Twice the rate of `grid`: at 1e-3 and 64 units a single seed of four reached all
# modes in 16,000 steps.
MINUTES = Size(96, 64, 10_000, 2e-3)
ARMS: dict[str, dict[str, Any]] = {
    "non_saturating": {},
    "relativistic_r1_r2": {
        "loss": "relativistic",
        "penalties": {"r1": 0.01, "r2": 0.01},
    },
    "r1": {"penalties": {"r1": 0.01}},
    "packing": {"packing": 2},
    "wgan_gp": {"loss": "wgan", "penalties": {"wgan_gp": 0.1}},
    "hinge_spectral": {"loss": "hinge"},
    "lsgan": {"loss": "lsgan"},
}

Stability = dataclasses.make_dataclass(
    "Stability",
    [(name, Experiment) for name in ARMS],
    frozen=True,
    namespace={"__module__": __name__},  # config.json names it; 3.12 has module=
)


def experiment(budget: Budget = "minutes") -> Any:
    """The arms, each a population of ten seeds."""
    size = FULL if budget == "full" else MINUTES
    like = grid.experiment()
    like = dataclasses.replace(
        like,
        steps=size.steps,
        batch_size=size.batch,
        optimizer=dataclasses.replace(like.optimizer, learning_rate=size.rate),
        checkpoint_every=size.steps,
        population=Population(seeds=SEEDS),
    )
    return Stability(
        **{
            name: dataclasses.replace(
                like,
                model=mlp.Model(hidden=size.units, spectral=name.endswith("spectral")),
                task=Gan(ema=0.999, **settings),
            )
            for name, settings in ARMS.items()
        }
    )
