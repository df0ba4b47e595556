"""An LSTM composes by likelihood: eight bars of chorale, frame by frame.

Each frame's 88 keys are predicted from the state and the frame before, every key by
itself (Chung 2014), on windows as long as the GAN's beside it.

Cost: `--budget minutes` is about a minute on two CPU cores.
Expected: 9.07 nats a held-out frame (keys counted apart: 11.5); few of its drawn chords
are Bach's, whose keys are not independent.
Run:  launch/run train music_lstm --budget minutes
"""

from experiments.music_gan import LENGTH
from research.experiment import Budget, Data, Experiment
from research.models import lstm
from research.optimizers import Optimizer
from research.sources.piano_rolls import KEYS
from research.tasks.supervised import Supervised


def experiment(budget: Budget = "full") -> Experiment:
    """64 units, batch 32; full: 128."""
    full = budget == "full"
    return Experiment(
        steps=6_000 if full else 2_000,
        batch_size=32,
        data=Data("chorales", length=LENGTH),
        model=lstm.Model(hidden=128 if full else 64, classes=KEYS),
        task=Supervised("frames"),
        optimizer=Optimizer(learning_rate=1e-2, schedule="cosine", clip_norm=1.0),
        checkpoint_every=2_000 if full else 500,
        score_pictures=1_000,
    )
