"""SNGAN on CIFAR-10 as published: residual pair, hinge loss, spectral norm, 5 D steps.

Miyato 2018, table 2: batch 64, Adam 2e-4 (0, 0.9), five updates of D for one of G,
100,000 steps of G, the rate falling to 0 (mimicry: on a line, here on a cosine). With
`--model.classes 10` it is their conditional GAN with projection (Miyato and Koyama
2018).

Published, as FID in Inception's features of 50,000 against 50,000 pictures: 16.77 ±
0.04 (mimicry's reimplementation, 3 seeds); 21.7 in the paper, 10,000 against 5,000.
Only in the same features are our numbers comparable: with Inception's weights of yours,
`--data.features inception:FILE`. Ours is against the 10,000 held-out pictures, which
reads higher than against the training ones; the floor tells by how much.

Cost: it is for a GPU and has not been run to its end. `--budget minutes` is a quarter
of the width and 200 steps, to see that it works; 4 of them, with 10 classes on a
folder of 32×32 pictures, took a minute on two busy cores, most of it the compiler's.
Expected: the published FID ± 1.
Run:  python -m launch train cifar10_sngan
"""

from research.experiment import Budget, Data, Experiment
from research.models import resnet
from research.optimizers import Optimizer
from research.tasks.gan import Gan


def experiment(budget: Budget = "full") -> Experiment:
    """The paper's run, or a small one for minutes."""
    full = budget == "full"
    return Experiment(
        steps=100_000 if full else 200,
        batch_size=64 if full else 16,
        data=Data("cifar10"),
        model=resnet.Model() if full else resnet.Model((64,) * 4, (32,) * 4),
        task=Gan(loss="hinge", discriminator_steps=5, ema=0.999),
        optimizer=Optimizer(
            learning_rate=2e-4, beta1=0.0, beta2=0.9, schedule="cosine"
        ),
        checkpoint_every=5_000 if full else 100,
        score_pictures=50_000 if full else 2_000,
    )
