"""A GAN writes 33 bytes of the Bible at a time: Gumbel-softmax, LSTM against LSTM.

The writer draws symbol by symbol and is trained through soft samples whose temperature
falls over the run; the critic is an LSTM with the gradient penalty of WGAN-GP. There is
no likelihood anywhere, and no pretraining by one: what it knows it has from the critic.

Cost: `--budget minutes` is about two minutes on two CPU cores.
Expected: letters and spaces about as often as in English, few words: 5 % of seed 0's
occur in real text (of other real text's 80 %).
Run:  launch/run train text_gan --budget minutes
"""

from research.experiment import Budget, Data, Experiment
from research.models import text_pair
from research.optimizers import Optimizer
from research.tasks.gan import Gan

LENGTH = 32  # bytes; a window holds one more


def experiment(budget: Budget = "full") -> Experiment:
    """64 units each, batch 32, two updates of the critic; full: 512, 64 and five."""
    full = budget == "full"
    steps = 50_000 if full else 1_200
    return Experiment(
        steps=steps,
        batch_size=64 if full else 32,
        data=Data("bible", length=LENGTH),
        model=text_pair.Model(length=LENGTH + 1, hidden=512 if full else 64),
        task=Gan(
            loss="wgan",
            penalties={"wgan_gp": 10.0},
            discriminator_steps=5 if full else 2,
        ),
        optimizer=Optimizer(learning_rate=1e-4 if full else 1e-3, beta1=0.0, beta2=0.9),
        checkpoint_every=steps // 3,
        score_pictures=1_000,
    )
