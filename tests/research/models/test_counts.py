"""Every pair of networks refuses numbers that are too small to build one."""

import pytest

from research.errors import UserError
from research.models import (
    dcgan,
    dirac,
    mlp,
    r3gan,
    recurrent_pair,
    resnet,
    seed_pair,
    text_pair,
)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (mlp.Model(hidden=0), "--model.hidden is 0: give 1"),
        (mlp.Model(layers=-1), "--model.layers is -1: give 0"),
        (mlp.Model(shape=(8, 0, 3)), "--model.shape is 8 0 3: give 1"),
        (mlp.Model(discriminator_hidden=0), "--model.discriminator-hidden is 0"),
        (mlp.Model(maxout=0), "--model.maxout is 0"),
        (dcgan.Model(halvings=0), "--model.halvings is 0: give 1"),
        (dcgan.Model(width=0), "--model.width is 0"),
        (seed_pair.Model(latent=0), "--model.latent is 0"),
        (resnet.Model(discriminator_widths=(8, -1)), "-widths is 8 -1: give 1"),
        (resnet.Model(halvings=-1), "--model.halvings is -1: give 0"),
        (r3gan.Model(expansion=0), "--model.expansion is 0"),
        (r3gan.Model(group=-4), "--model.group is -4: give 1"),
        (recurrent_pair.Model(style=0), "--model.style is 0"),
        (text_pair.Model(critic_hidden=0), "--model.critic-hidden is 0"),
        (dirac.Model(latent=0), "--model.latent is 0"),
    ],
)
def test_numbers_too_small_for_a_network_are_refused(model, says):
    with pytest.raises(UserError, match=says):
        model.generator()


@pytest.mark.parametrize(
    "model",
    [mlp.Model(layers=0), resnet.Model(halvings=0), recurrent_pair.Model(noise=0)],
)
def test_none_of_what_a_network_can_do_without_is_fine(model):
    model.generator()
