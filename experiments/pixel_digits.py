"""An LSTM reads a digit pixel by pixel, 784 steps, and then says which it was.

Sequential MNIST (Le 2015) on the 4,000 embedded training digits; gates that begin with
memories of up to 784 steps (chrono) and clipped gradients.

Cost and expected accuracy: it has not been run to the end yet.
Run:  python -m launch train pixel_digits --budget minutes
"""

from research.experiment import Budget, Data, Experiment
from research.models import stacked_lstm
from research.optimizers import Optimizer
from research.tasks.supervised import Supervised

EXAMPLES, PIXELS = 4_000, 784


def experiment(budget: Budget = "full") -> Experiment:
    """100 epochs, or 20 for minutes."""
    epoch = EXAMPLES // 50
    return Experiment(
        steps=epoch * (100 if budget == "full" else 20),
        batch_size=50,
        data=Data("digits"),
        model=stacked_lstm.Model(hidden=64, layers=1, classes=10, longest=PIXELS),
        task=Supervised("pixel_steps"),
        optimizer=Optimizer(learning_rate=5e-3, schedule="cosine", clip_norm=1.0),
        checkpoint_every=5 * epoch,
    )
