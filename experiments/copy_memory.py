"""Can an LSTM say ten symbols again after 50 blanks? The copy memory problem.

Initial biases for memories of that length (chrono); a predictor that remembers nothing
loses 10 ln 8 / (T + 20) = 0.297 nats a step and is right on one symbol of eight. Other
lengths: --data.length 200 --model.longest 220.

Cost: minutes on two CPU cores.
Expected: more than 95 % of the symbols recalled on 1,000 new sequences; 96.7 % after
9,000 of the 14,000 steps. Batches of 64 were ahead at equal steps (88 % after 3,000 of
8,000, beside 69 %), and so was --model.longest 200 (77 %).
Run:  python -m launch train copy_memory
"""

from research.encodings.copy_memory import SYMBOLS
from research.experiment import Budget, Data, Experiment
from research.models import stacked_lstm
from research.optimizers import Optimizer
from research.tasks.supervised import Supervised

BLANKS = 50


def experiment(budget: Budget = "full") -> Experiment:
    """The same for both budgets."""
    del budget
    return Experiment(
        steps=14_000,
        batch_size=32,
        data=Data("copy_memory", length=BLANKS),
        model=stacked_lstm.Model(
            hidden=128, layers=1, classes=SYMBOLS, longest=3 * BLANKS // 2
        ),
        task=Supervised("copy_memory"),
        optimizer=Optimizer(learning_rate=4e-3, schedule="cosine", clip_norm=1.0),
        checkpoint_every=1_000,
    )
