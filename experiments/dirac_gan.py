"""Does the game come to rest? Penalties damp the Dirac-GAN, the losses alone circle.

Real data is one point, G draws one point θ, D is ψ·x; plain descent of both at once at
rate 0.1, 1,000 steps from (θ, ψ) = ((1, 0), (0, 1)) (Mescheder 2018, section 2 and
table 1). Whether a run ended at the data is its share of high quality, 0 or 1: within
0.15. The eigenvalues at the resting point are in tests/research/tasks.

Cost: about a minute on two CPU cores for all six.
Expected, and measured: non_saturating, wgan and wgan_gp do not arrive; r1, relativistic
pairing with R1 and R2, and the zero-centred penalty do.
Run:  python -m launch train dirac_gan
"""

import dataclasses
from typing import Any

from research.experiment import Budget, Data, Experiment
from research.models import dirac
from research.optimizers import Optimizer
from research.tasks.gan import Gan

ARMS: dict[str, dict[str, Any]] = {
    "non_saturating": {},
    "wgan": {"loss": "wgan"},
    "wgan_gp": {"loss": "wgan", "penalties": {"wgan_gp": 1.0}},
    "zero_centred": {"penalties": {"zero_centred": 0.5}},
    "r1": {"penalties": {"r1": 0.5}},
    "relativistic_r1_r2": {
        "loss": "relativistic",
        "penalties": {"r1": 0.5, "r2": 0.5},
    },
}

Games = dataclasses.make_dataclass(
    "Games",
    [(name, Experiment) for name in ARMS],
    frozen=True,
    namespace={"__module__": __name__},  # config.json names it; 3.12 has module=
)


def experiment(budget: Budget = "full") -> Any:
    """One run of each game; they are so short that budgets do not differ."""
    del budget
    return Games(
        **{
            name: Experiment(
                steps=1_000,
                batch_size=8,
                data=Data("dirac"),
                model=dirac.Model(),
                task=Gan(order="simultaneous", **settings),
                optimizer=Optimizer("sgd", learning_rate=0.1, beta1=0.0),
                checkpoint_every=500,
                score_pictures=2_500,
            )
            for name, settings in ARMS.items()
        }
    )
