"""Which writes better, a GAN or an LSTM? The article's question, asked of text.

Trains a GAN by Gumbel-softmax and an LSTM by likelihood on the same bytes of the Bible,
draws texts of one length from both, and measures both by the same n-grams.

Cost: about five minutes on two CPU cores; `--budget full` trains both for long.
Expected: the LSTM writes words, the GAN letters. Measured, seed 0: 58 % of the LSTM's
words occur in real text and 5 % of the GAN's (of other real text's 80 %); only the LSTM
has a likelihood, 2.37 bits a byte.
Run:  launch/run train text_gan_vs_lstm
"""

import dataclasses

from experiments import text_gan, text_lstm
from research.experiment import Budget, Experiment


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The runs that are compared, in the order in which they are trained."""

    text_gan: Experiment
    text_lstm: Experiment


def experiment(budget: Budget = "minutes") -> Comparison:
    """Both runs of a budget."""
    return Comparison(text_gan.experiment(budget), text_lstm.experiment(budget))
