"""A pointer network sorts: it writes the places of ten numbers in rising order.

An LSTM reads the numbers, another points at them one by one (Vinyals 2015). `exact` is
the share of whole sets in the right order; a guess among the places that are left loses
1.51 nats a place.

Cost: a minute of CPU time.
Expected: 0.99 of the places right on 1,000 new sets, and 0.92 of the whole sets. Half
the rate, with batches of 128, came to 0.88 of them.
Run:  python -m launch train sorting
"""

from research.experiment import Budget, Data, Experiment
from research.models import pointer_lstm
from research.optimizers import Optimizer
from research.tasks.supervised import Supervised


def experiment(budget: Budget = "full") -> Experiment:
    """The same for both budgets."""
    del budget
    return Experiment(
        steps=8_000,
        batch_size=64,
        data=Data("sorting", length=10),
        model=pointer_lstm.Model(hidden=64, attention=64),
        task=Supervised("sorting"),
        optimizer=Optimizer(
            learning_rate=1e-2, schedule="cosine", beta2=0.99, clip_norm=1.0
        ),
        checkpoint_every=1_000,
    )
