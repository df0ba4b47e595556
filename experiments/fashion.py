"""DCGAN with relativistic pairing, R1 and R2 on Fashion-MNIST, or any local idx files.

28×28 in grey, halved twice to 7×7, no BatchNorm in D, the moving average of G. The
data comes from Debian's package `dataset-fashion-mnist`, from the network, or from
idx files of the same names that the user puts in place: see `--data.folder`.

Cost: `--budget minutes`, an eighth of the width and one epoch, took 78 s on two busy
cores with all around it, 24 ms a step; full is for a GPU and has not been run.
Expected: for minutes, measured, seed 0, 2,000 samples: garments of several kinds,
blurred; Fréchet distance in means of 8×8 fields 0.59 (real 0.016), precision 0.16 (real
0.84), recall 0.58 (0.85), health `healthy`.
Run:  python -m launch train fashion --budget minutes
"""

from research.experiment import Budget, Data, Experiment
from research.models import dcgan
from research.optimizers import Optimizer
from research.tasks.gan import Gan

EPOCH = 60_000  # pictures


def experiment(budget: Budget = "full") -> Experiment:
    """25 epochs at full width, batch 128; one at width 8 for minutes, batch 64."""
    full = budget == "full"
    batch_size = 128 if full else 64
    return Experiment(
        steps=(25 if full else 1) * (EPOCH // batch_size),
        batch_size=batch_size,
        data=Data("fashion_mnist"),
        model=dcgan.Model(
            size=28, channels=1, width=64 if full else 8, discriminator_norm=False
        ),
        task=Gan(
            loss="relativistic",
            penalties={"r1": 1.0, "r2": 1.0},
            noise="shared",
            ema=0.999,
        ),
        optimizer=Optimizer(learning_rate=2e-4 if full else 5e-4, beta1=0.0),
        checkpoint_every=EPOCH // batch_size,
        score_pictures=10_000 if full else 2_000,
    )
