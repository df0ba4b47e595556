"""Can an LSTM say ten symbols again after 50 blanks? The copy memory problem.

Initial biases for memories of four times that length (chrono); a predictor that
remembers nothing loses 10 ln 8 / (T + 20) = 0.297 nats a step and is right on one
symbol of eight. Other lengths: --data.length 200 --model.longest 800.

The learning rate decides: after 800 steps without decay 3e-3 had recalled 0.13 of the
symbols, 6e-3 0.29 and 1.2e-2 0.45, and with Adam's beta2 at 0.99 instead of 0.999 they
had 0.27, 0.30 and 0.54 (seed 0).

Cost: under two minutes of CPU time.
Expected: more than 0.99 of the symbols recalled on 1,000 new sequences (0.992 and
0.995 with seeds 0 and 1).
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
        steps=5_000,
        batch_size=32,
        data=Data("copy_memory", length=BLANKS),
        model=stacked_lstm.Model(
            hidden=128, layers=1, classes=SYMBOLS, longest=4 * BLANKS
        ),
        task=Supervised("copy_memory"),
        optimizer=Optimizer(
            learning_rate=2e-2, schedule="cosine", beta2=0.99, clip_norm=1.0
        ),
        checkpoint_every=500,
    )
