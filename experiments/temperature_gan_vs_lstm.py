"""Which draws better days, a GAN or an LSTM? The article's question, of temperatures.

Trains a recurrent GAN and an LSTM by likelihood on the same days of two cities, draws
days from both, and measures both by the same distances.

Cost: about four minutes on two busy CPU cores; `--budget full` trains both for long.
Expected: both draw days. Measured, seed 0: whole days of the GAN are nearer to real
ones, 0.23 against 0.78 (real 0.08), for the LSTM's drift; their changes from hour to
hour are nearer by the LSTM, 0.0078 against 0.0158 (real 0.0023), and it alone has a
likelihood, −1.99 nats an hour, density of °C (by the hour before and noise 1.54).
Run:  launch/run train temperature_gan_vs_lstm
"""

import dataclasses

from experiments import temperature_gan, temperature_lstm
from research.experiment import Budget, Experiment


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The runs that are compared, in the order in which they are trained."""

    temperature_gan: Experiment
    temperature_lstm: Experiment


def experiment(budget: Budget = "minutes") -> Comparison:
    """Both runs of a budget."""
    return Comparison(
        temperature_gan.experiment(budget), temperature_lstm.experiment(budget)
    )
