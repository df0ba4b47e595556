"""A recurrent GAN draws eight bars of four-part chorale, trained with WGAN-GP.

LSTM against LSTM on windows of 32 quarter notes of Bach's chorales, a frame of 88 keys
each; the critic's gradient penalty differentiates the fused kernel twice.

Cost: `--budget minutes` is about two minutes on two CPU cores.
Expected: notes at a chorale's pitches, few of its progressions: 1 % of seed 0's are
real ones (of other real pieces' 52 %).
Run:  launch/run train music_gan --budget minutes
"""

from research.experiment import Budget, Data, Experiment
from research.models import recurrent_pair
from research.optimizers import Optimizer
from research.sources.piano_rolls import KEYS
from research.tasks.gan import Gan

LENGTH = 32  # quarter notes of a window


def experiment(budget: Budget = "full") -> Experiment:
    """64 units each, batch 32, two updates of the critic; full: 256, 64 and five."""
    full = budget == "full"
    steps = 50_000 if full else 1_200
    return Experiment(
        steps=steps,
        batch_size=64 if full else 32,
        data=Data("chorales", length=LENGTH),
        model=recurrent_pair.Model(
            shape=(LENGTH, KEYS), hidden=256 if full else 64, bounded=True
        ),
        task=Gan(
            loss="wgan",
            penalties={"wgan_gp": 10.0},
            discriminator_steps=5 if full else 2,
            ema=0.999 if full else 0.99,
        ),
        optimizer=Optimizer(learning_rate=1e-4 if full else 1e-3, beta1=0.0, beta2=0.9),
        checkpoint_every=steps // 3,
        score_pictures=1_000,
    )
