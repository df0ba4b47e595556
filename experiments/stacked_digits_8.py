"""Four GANs on stacked 8×8 digits: pairing with R1 and R2 draws all 1,000 modes.

Three 8×8 digits as colours, two perceptrons of 2 × 256 units, batch 128, Adam 5e-4,
26,000 samples drawn by the moving average of G (0.999). `baseline` is the
non-saturating loss alone, the others add packing (Lin 2018), WGAN-GP (Gulrajani 2017)
or relativistic pairing with R1 and R2 (Huang 2024). `frozen` is a generator that never
learns: what the metric gives to nothing.

Cost: 10,000 steps took 83 to 167 s on two busy cores; measuring takes minutes more.
Expected: measured, one run each of seed 0: relativistic 1,000 modes, KL 0.093 nats
(real: 0.018); packing 988, 0.322; baseline 944, 0.515; wgan_gp, with one update of D
for one of G as the others, 898, 0.605; frozen 400, 2.83.
Run:  python -m launch train stacked_digits_8
"""

import dataclasses

from research.experiment import Budget, Data, Experiment
from research.models import mlp
from research.optimizers import Optimizer
from research.tasks.gan import Gan


@dataclasses.dataclass(frozen=True)
class Variants:
    """The same networks in five games."""

    relativistic: Experiment
    baseline: Experiment
    packing: Experiment
    wgan_gp: Experiment
    frozen: Experiment


def experiment(budget: Budget = "full") -> Variants:
    """10,000 steps each; 2,500 for minutes."""
    steps = 10_000 if budget == "full" else 2_500
    plain = Experiment(
        steps=steps,
        batch_size=128,
        data=Data("stacked_digits_8"),
        model=mlp.Model((8, 8, 3), hidden=256, layers=2, latent=64, bounded=True),
        task=Gan(ema=0.999),
        optimizer=Optimizer(learning_rate=5e-4, beta1=0.5, beta2=0.9),
        checkpoint_every=2_500,
        log_every=100,
        score_pictures=26_000,
    )

    def playing(**settings) -> Experiment:
        return dataclasses.replace(plain, task=Gan(ema=0.999, **settings))

    return Variants(
        relativistic=playing(loss="relativistic", penalties={"r1": 1.0, "r2": 1.0}),
        baseline=plain,
        packing=playing(packing=2),
        wgan_gp=playing(loss="wgan", penalties={"wgan_gp": 10.0}),
        frozen=dataclasses.replace(
            plain,
            steps=1,
            optimizer=Optimizer(learning_rate=0.0),
        ),
    )
