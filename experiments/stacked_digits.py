"""Does packing cure the collapse on stacked digits? PacGAN's protocol, and a small one.

28×28 pictures of three digits, 1,000 modes; DCGAN with four strides (28 14 7 4 2), 64
to 512 channels, BatchNorm in both networks, non-saturating loss, Adam 2e-4 (0.5), batch
64, two updates of G for one of D, 50 epochs of 128,000 pictures, 26,000 samples.

Published (Lin 2018, table 2, 10 runs ± standard error): DCGAN 78.9 ± 6.5 modes, KL
4.50 ± 0.13; PacDCGAN2 1,000 ± 0 modes, KL 0.06 ± 0.003. VEEGAN's table has 99.0 and
3.40 for DCGAN. They compare G's tanh with data in [0, 1], and a pack of theirs is 64 of
two samples; here data is in [−1, 1], and a batch of 64 is 32 packs.

`r1_r2` is the same pair without BatchNorm in D, with relativistic pairing and
penalties (Huang 2024).

Cost: full is for a GPU and has not been run; `--budget minutes` is a quarter of the
width with batch 32 and 1,500 steps of each, 149 to 869 s each on two busy cores.
Expected: full, the published rows. For minutes, measured, seed 0, 5,000 samples:
baseline 10 modes, KL 5.66; packing 488 modes, KL 1.56. `r1_r2` drew 4 modes: at this
rate it has not left its start by then.
Run:  python -m launch train stacked_digits --budget minutes
"""

import dataclasses

from research.experiment import Budget, Data, Experiment
from research.models import dcgan
from research.optimizers import Optimizer
from research.tasks.gan import Gan

EPOCH = 128_000  # pictures of PacGAN's training set


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The same data and generator in three games."""

    baseline: Experiment
    packing: Experiment
    r1_r2: Experiment


def experiment(budget: Budget = "full") -> Protocol:
    """PacGAN's protocol, or a width-reduced one for two CPU cores."""
    full = budget == "full"
    batch_size = 64 if full else 32
    pair = dcgan.Model(size=28, halvings=4, width=64 if full else 16)
    baseline = Experiment(
        steps=50 * (EPOCH // batch_size) if full else 1_500,
        batch_size=batch_size,
        data=Data("stacked_digits"),
        model=pair,
        task=Gan(generator_steps=2),
        optimizer=Optimizer(learning_rate=2e-4, beta1=0.5),
        checkpoint_every=EPOCH // batch_size if full else 500,
        score_pictures=26_000 if full else 5_000,
    )
    return Protocol(
        baseline=baseline,
        packing=dataclasses.replace(
            baseline, task=dataclasses.replace(baseline.task, packing=2)
        ),
        r1_r2=dataclasses.replace(
            baseline,
            model=dataclasses.replace(pair, discriminator_norm=False),
            task=Gan(
                loss="relativistic",
                penalties={"r1": 1.0, "r2": 1.0},
                noise="shared",
                ema=0.999,
            ),
        ),
    )
