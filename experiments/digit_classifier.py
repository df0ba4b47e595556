"""A small network reads the held-out digits well enough to judge generators by it.

Its 128 features give the Fréchet distance and its labels the captured modes. The
frozen weights in research/metrics were made by this run, then
`python -m research.metrics.freeze_digit_classifier WORKDIR`.

Cost: about three minutes on two CPU cores.
Expected: at least 0.985 accuracy on the 1,000 held-out digits.
Run:  python -m launch train digit_classifier
"""

from research.experiment import Budget, Data, Experiment
from research.models import digit_classifier
from research.optimizers import Optimizer
from research.tasks.supervised import Supervised

EXAMPLES = 4_000  # training digits


def experiment(budget: Budget = "full") -> Experiment:
    """24 epochs of turned, scaled and moved digits, or 6 for minutes."""
    epoch = EXAMPLES // 100
    return Experiment(
        steps=epoch * (24 if budget == "full" else 6),
        batch_size=100,
        data=Data("digits"),
        model=digit_classifier.Model(),
        task=Supervised("pictures", label_smoothing=0.05),
        optimizer=Optimizer(
            learning_rate=4e-3, schedule="one_cycle", weight_decay=1e-2
        ),
        seed=1,
        checkpoint_every=4 * epoch,
    )
