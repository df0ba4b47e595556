"""A recurrent GAN draws days of two cities' temperatures, trained with WGAN-GP.

An LSTM generator and an LSTM critic on 24 hours of Seattle and San Francisco. The
penalty differentiates the critic's gradient, so the LSTM kernel is differentiated twice
(Gulrajani 2017: λ = 10, five updates of the critic, Adam 1e-4, β 0 and 0.9).

Cost: `--budget minutes` is 2,000 steps of a small pair, minutes on two CPU cores.
Expected: days that rise and fall as real ones do, and differ as much.
Run:  launch/run train temperature_gan --budget minutes
"""

from research.data.temperatures import SHAPE
from research.experiment import Budget, Data, Experiment
from research.models import recurrent_pair
from research.optimizers import Optimizer
from research.tasks.gan import Gan


def experiment(budget: Budget = "full") -> Experiment:
    """32 units each, batch 32, critic updated three times; full: 64, 64 and five."""
    full = budget == "full"
    steps = 20_000 if full else 2_000
    return Experiment(
        steps=steps,
        batch_size=64 if full else 32,
        data=Data("temperatures"),
        model=recurrent_pair.Model(
            shape=SHAPE, hidden=64 if full else 32, bounded=True
        ),
        task=Gan(
            loss="wgan",
            penalties={"wgan_gp": 10.0},
            discriminator_steps=5 if full else 3,
            discriminator_learning_rate=1e-4 if full else 1e-3,
            ema=0.995,
        ),
        optimizer=Optimizer(
            learning_rate=1e-4 if full else 5e-4,
            beta1=0.0,
            beta2=0.9,
            schedule="cosine",
        ),
        checkpoint_every=steps // 4,
        score_pictures=1_500,
    )
