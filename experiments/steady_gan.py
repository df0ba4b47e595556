"""The article's GAN with remedies holds: its samples differ and can be read.

The remedies, all fields of the same task: relativistic pairing with R1 and R2 at γ = 1
(Huang 2024), no BatchNorm before the tanh and N(0, 0.02) kernels (Radford 2015), the
moving average of the generator, and noise shared by the two updates, which saves a
pass of G.

Cost: `--budget minutes` (a quarter of the width, batch 64) takes about three minutes
on two CPU cores; `--budget full` is for a GPU.
Expected: hundreds of the 1,000 modes after minutes.
Run:  python -m launch train steady_gan --budget minutes
"""

from experiments.seed_gan import EPOCH
from research.experiment import Budget, Data, Experiment
from research.models import seed_pair
from research.optimizers import Optimizer
from research.tasks.gan import Gan


def experiment(budget: Budget = "full") -> Experiment:
    """The remedied pair; for minutes, at a quarter of the width and batch 64."""
    full = budget == "full"
    return Experiment(
        steps=25 * (EPOCH // 128) if full else 1_700,
        batch_size=128 if full else 64,
        data=Data("stacked_digits"),
        model=seed_pair.Model(
            width=64 if full else 16, final_norm=False, kernel_std=0.02
        ),
        task=Gan(
            loss="relativistic",
            penalties={"r1": 1.0, "r2": 1.0},
            noise="shared",
            ema=0.999 if full else 0.99,
        ),
        optimizer=Optimizer(learning_rate=2e-4, beta1=0.5),
        checkpoint_every=EPOCH // 128 if full else 340,
    )
