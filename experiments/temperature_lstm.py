"""An LSTM draws days of two cities' temperatures, hour by hour, by likelihood.

Each hour of Seattle and San Francisco is one Gaussian of both, given the hours before
it, in a model of as many parameters as both nets of the GAN beside it. A Gaussian for
each city was 0.12 to 0.15 nats an hour worse, a mixture of three or four no better.

Cost: `--budget minutes` is 6,000 steps, about a minute on two busy CPU cores.
Expected: days as smooth as real ones, which drift, for it goes on from its own errors.
Measured, seed 0: −1.99 nats an hour, density of °C (−6.36 of the scaled values, −6.32
and −6.35 with seeds 1 and 2); by the hour before and Gaussian noise 1.54, by one
Gaussian of all hours 4.97. Fréchet distance 0.78 (seeds 1, 2: 0.45, 0.48; real 0.08).
Run:  launch/run train temperature_lstm --budget minutes
"""

from research.data.temperatures import SHAPE
from research.experiment import Budget, Data, Experiment
from research.models import lstm
from research.optimizers import Optimizer
from research.outcomes import gaussian_outputs
from research.tasks.supervised import Supervised


def experiment(budget: Budget = "full") -> Experiment:
    """48 units, batch 32; full: 128."""
    full = budget == "full"
    return Experiment(
        steps=30_000 if full else 6_000,
        batch_size=32,
        data=Data("temperatures"),
        model=lstm.Model(
            hidden=128 if full else 48, classes=gaussian_outputs(SHAPE[1])
        ),
        task=Supervised("series"),
        optimizer=Optimizer(learning_rate=1e-2, schedule="cosine", clip_norm=1.0),
        checkpoint_every=6_000 if full else 1_500,
        validation_examples=1_450,
        score_pictures=1_500,
    )
