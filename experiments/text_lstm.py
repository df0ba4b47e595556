"""An LSTM learns to write the Bible by likelihood, at the size of the GAN beside it.

The next byte is predicted from the state and the byte before; its own samples are never
fed back while it learns, and its held-out bits a byte are exact.

Cost: `--budget minutes` is about a minute on two CPU cores.
Expected: 2.37 bits a held-out byte; 58 % of its words occur in real text.
Run:  launch/run train text_lstm --budget minutes
"""

from experiments.text_gan import LENGTH
from research.experiment import Budget, Data, Experiment
from research.models import stacked_lstm
from research.optimizers import Optimizer
from research.tasks.language import Language

BYTES = 256


def experiment(budget: Budget = "full") -> Experiment:
    """128 units, batch 32; full: 512 and 64. Samples as long as the GAN's."""
    full = budget == "full"
    return Experiment(
        steps=50_000 if full else 3_000,
        batch_size=64 if full else 32,
        data=Data("bible", length=LENGTH),
        model=stacked_lstm.Model(
            hidden=512 if full else 128, layers=1, classes=BYTES, embedding=32
        ),
        task=Language(draw_length=LENGTH + 1),
        optimizer=Optimizer(learning_rate=4e-3, schedule="cosine", clip_norm=1.0),
        checkpoint_every=10_000 if full else 1_000,
        validation_examples=500,
        score_pictures=1_000,
    )
