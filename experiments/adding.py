"""Can an LSTM carry two numbers over 200 steps and add them? The adding problem.

Initial biases for memories of up to that length (chrono) and clipped gradients; a
predictor that remembers nothing has a squared error of 1/6 = 0.1667. Other lengths:
--data.length 1000 --model.longest 1000.

Cost: a minute and a half on two CPU cores.
Expected: a squared error of at most 0.005 on 1,000 new sequences (0.0002).
Run:  python -m launch train adding
"""

from research.experiment import Budget, Data, Experiment
from research.models import stacked_lstm
from research.optimizers import Optimizer
from research.tasks.supervised import Supervised

LENGTH = 200


def experiment(budget: Budget = "full") -> Experiment:
    """The same for both budgets."""
    del budget
    return Experiment(
        steps=3_000,
        batch_size=50,
        data=Data("adding", length=LENGTH),
        model=stacked_lstm.Model(hidden=64, layers=1, classes=1, longest=LENGTH),
        task=Supervised("adding"),
        optimizer=Optimizer(learning_rate=5e-3, schedule="cosine", clip_norm=1.0),
        checkpoint_every=500,
    )
