"""The article's LSTM draws digits: pixel by pixel, with an exact likelihood.

A stacked digit thresholded to one bit a colour is a sequence of 784 symbols of 8; the
LSTM predicts each from the symbol before, the five of the row above around it, and the
position. Trained by likelihood, it cannot lose modes to a game, and its held-out bits
a pixel are exact; drawing is slow, one step a pixel.

Cost: `--budget minutes` takes about a minute on two CPU cores, `--budget full` an hour.
Expected: about 0.5 held-out bits a pixel after minutes.
Run:  python -m launch train pixel_lstm --budget minutes
"""

from research.encodings import pixels
from research.experiment import Budget, Data, Experiment
from research.models import lstm
from research.optimizers import Optimizer
from research.tasks.supervised import Supervised


def experiment(budget: Budget = "full") -> Experiment:
    """128 units, batch 32, Adam 4e-3."""
    full = budget == "full"
    return Experiment(
        steps=6_000 if full else 320,
        batch_size=32,
        data=Data("stacked_digits"),
        model=lstm.Model(hidden=128, classes=pixels.SYMBOLS),
        task=Supervised("pixels"),
        optimizer=Optimizer(learning_rate=4e-3, schedule="cosine", clip_norm=1.0),
        checkpoint_every=500 if full else 160,
    )
