"""Do an encoder and a decoder with attention learn to add numbers of three digits?

The encoder reads 123+045 in both directions, the decoder writes 0168 (Bahdanau 2015 on
LSTMs). `exact` is the share of whole sums that are right.

Cost: under eight minutes on two CPU cores that others kept busy.
Expected: 0.14 of 1,000 new sums exactly right, and 0.75 of the digits: so small and so
short it is not learned yet.
Run:  python -m launch train addition
"""

from research.encodings.addition import READ, SYMBOLS
from research.experiment import Budget, Data, Experiment
from research.models import attention_lstm
from research.optimizers import Optimizer
from research.tasks.supervised import Supervised


def experiment(budget: Budget = "full") -> Experiment:
    """The same for both budgets."""
    del budget
    return Experiment(
        steps=4_000,
        batch_size=64,
        data=Data("addition", length=3),
        model=attention_lstm.Model(hidden=64, classes=SYMBOLS, symbols=READ),
        task=Supervised("addition"),
        optimizer=Optimizer(learning_rate=5e-3, schedule="cosine", clip_norm=1.0),
        checkpoint_every=500,
    )
