"""An LSTM composes by likelihood: chorales, note by note.

A frame's keys are written from the highest to the lowest, each predicted from those
above it and all frames before, on windows as long as the GAN's beside it, moved in
training by up to three keys. `--task.encoding frames --model.classes 88` predicts every
key of a frame by itself, as Chung 2014.

Cost: about two minutes on two CPU cores, by either budget: of pieces set aside a frame
cost 4.77 nats after 1,500 steps, 4.88 after 3,000 and 4.75 after 2,500 with a quarter
dropped.
Expected: 4.81 nats a held-out frame (keys counted apart: 11.5), with seed 1 4.76; 29 %
of what it draws, by progressions, is real with both seeds (of other real pieces 52 %).
With every key by itself, 64 units and 2,000 steps, it was 9.07 nats and 0.09 %.
Run:  launch/run train music_lstm
"""

from experiments.music_gan import LENGTH
from research.encodings.notes import SYMBOLS
from research.experiment import Budget, Data, Experiment
from research.models import lstm
from research.optimizers import Optimizer
from research.tasks.supervised import Supervised


def experiment(budget: Budget = "full") -> Experiment:
    """128 units, batch 32."""
    del budget
    return Experiment(
        steps=1_500,
        batch_size=32,
        data=Data("chorales", length=LENGTH),
        model=lstm.Model(hidden=128, classes=SYMBOLS),
        task=Supervised("notes"),
        optimizer=Optimizer(learning_rate=1e-2, schedule="cosine", clip_norm=1.0),
        score_pictures=1_000,
    )
