"""Which draws better digits, a GAN or an LSTM? The article's question, on one data set.

Trains the article's GAN, the same GAN with remedies and the article's LSTM on stacked
digits, measures all three in the same way, and writes one page that answers.

Cost: at most six minutes on two CPU cores; `--budget full` runs all to the end.
Expected: the article's GAN collapses, the remedied one and the LSTM do not.
Run:  launch/run train gan_vs_lstm
"""

import dataclasses

from experiments import pixel_lstm, seed_gan, steady_gan
from research.experiment import Budget, Experiment


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The runs that are compared, in the order in which they are trained."""

    seed_gan: Experiment
    steady_gan: Experiment
    pixel_lstm: Experiment


def experiment(budget: Budget = "minutes") -> Comparison:
    """The three runs of a budget."""
    return Comparison(
        seed_gan.experiment(budget),
        steady_gan.experiment(budget),
        pixel_lstm.experiment(budget),
    )
