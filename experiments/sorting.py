"""A pointer network sorts: it writes the places of ten numbers in rising order.

An LSTM reads the numbers, another points at them one by one (Vinyals 2015). `exact` is
the share of whole sets in the right order; a guess among the places that are left loses
1.51 nats a place.

Cost: minutes on two CPU cores.
Expected: more than 0.9 of the places right on 1,000 new sets; 0.909, and 0.41 of the
whole sets, after 1,000 of the 3,000 steps.
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
        steps=3_000,
        batch_size=64,
        data=Data("sorting", length=10),
        model=pointer_lstm.Model(hidden=64, attention=64),
        task=Supervised("sorting"),
        optimizer=Optimizer(learning_rate=5e-3, schedule="cosine", clip_norm=1.0),
        checkpoint_every=500,
    )
