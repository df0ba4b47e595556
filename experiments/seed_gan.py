"""The article's GAN collapses: on stacked digits it draws one picture for any noise.

The networks, loss and training of the article: non-saturating loss, BatchNorm before
the tanh, Glorot kernels, Adam at Keras' rate, the two nets in alternation, batch 128
for 25 epochs of 60,000 pictures (as many as the article's digits).

Cost: `--budget full` (full width, 11,700 steps) is for a GPU; `--budget minutes` (half
the width, batch 32) takes about half a minute on two CPU cores.
Expected: 1 of the 1,000 modes from the first hundred steps on, D's loss near 0.
Run:  python -m launch train seed_gan --budget minutes
"""

from research.experiment import Budget, Data, Experiment
from research.models import seed_pair
from research.optimizers import Optimizer
from research.tasks.gan import Gan

EPOCH = 60_000  # pictures


def experiment(budget: Budget = "full") -> Experiment:
    """The article's run; for minutes, at half the width and batch 32."""
    full = budget == "full"
    return Experiment(
        steps=25 * (EPOCH // 128) if full else 300,
        batch_size=128 if full else 32,
        data=Data("stacked_digits"),
        model=seed_pair.Model(width=64 if full else 32),
        task=Gan(),
        optimizer=Optimizer(learning_rate=2e-4, beta1=0.5),
        checkpoint_every=EPOCH // 128 if full else 100,
    )
