"""The article's LSTM labels the rows of a digit: one softmax at every step.

Input(28, 28) → LSTM(128, return_sequences, return_state) → Dense(10, softmax) → Adam,
categorical cross-entropy, accuracy, with validation on the held-out digits. A step's
label is the digit, so the first, blank rows can only be guessed: the mean accuracy over
steps stays below that of the last step.

Cost: about a minute on two CPU cores.
Expected: last-step accuracy of at least 0.95 on the 1,000 held-out digits (0.954);
`row_digits` has more.
Run:  python -m launch train seed_lstm
"""

from research.experiment import Budget, Data, Experiment
from research.models import lstm
from research.optimizers import Optimizer
from research.tasks.supervised import Supervised

EXAMPLES = 4_000  # training digits


def experiment(budget: Budget = "full") -> Experiment:
    """30 epochs, or 10 for minutes."""
    epoch = EXAMPLES // 100
    return Experiment(
        steps=epoch * (30 if budget == "full" else 10),
        batch_size=100,
        data=Data("digits"),
        model=lstm.Model(hidden=128, classes=10),
        task=Supervised("rows"),
        optimizer=Optimizer(learning_rate=3e-3, schedule="cosine", clip_norm=1.0),
        checkpoint_every=5 * epoch,
    )
