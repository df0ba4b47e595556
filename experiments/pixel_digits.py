"""An LSTM reads a digit pixel by pixel, 784 steps, and then says which it was.

Sequential MNIST (Le 2015) on the 4,000 embedded training digits, a fifteenth of the
set; gates that begin with memories of up to 150 steps (chrono) and clipped gradients.
At a rate of 1e-2 memories of up to 150 steps had 0.47 of the held-out digits after 160
steps, of up to 784 steps 0.22.

Cost: `--budget minutes`, 20 epochs, takes under three minutes of CPU time.
Expected: 0.92 of the 1,000 held-out digits after that (seed 0); `full`, 100 epochs, was
not run.
Run:  python -m launch train pixel_digits --budget minutes
"""

from research.experiment import Budget, Data, Experiment
from research.models import stacked_lstm
from research.optimizers import Optimizer
from research.tasks.supervised import Supervised

EXAMPLES = 4_000


def experiment(budget: Budget = "full") -> Experiment:
    """100 epochs, or 20 for minutes."""
    epoch = EXAMPLES // 50
    return Experiment(
        steps=epoch * (100 if budget == "full" else 20),
        batch_size=50,
        data=Data("digits"),
        model=stacked_lstm.Model(hidden=64, layers=1, classes=10, longest=150),
        task=Supervised("pixel_steps"),
        optimizer=Optimizer(
            learning_rate=1.5e-2, schedule="cosine", beta2=0.99, clip_norm=1.0
        ),
        checkpoint_every=5 * epoch,
    )
