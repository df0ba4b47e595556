"""Every pair of networks refuses numbers that none can be built of."""

import math

import pytest

from research.errors import UserError
from research.models import (
    dcgan,
    digit_classifier,
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
        (recurrent_pair.Model(noise=0), "--model.noise is 0: give 1"),
        (text_pair.Model(critic_hidden=0), "--model.critic-hidden is 0"),
        (dirac.Model(latent=0), "--model.latent is 0"),
        (dirac.Model(start=math.nan), "--model.start is nan: give a finite"),
        (dcgan.Model(norm_momentum=1.5), "--model.norm-momentum is 1.5: a share"),
        (seed_pair.Model(norm_momentum=-0.1), "--model.norm-momentum is -0.1: a share"),
        (seed_pair.Model(slope=math.nan), "--model.slope is nan: a share"),
        (dcgan.Model(slope=1.0), "--model.slope is 1.0: a share"),
        (mlp.Model(slope=-1.0), "--model.slope is -1.0: a share"),
        (seed_pair.Model(kernel_std=0.0), "--model.kernel-std is 0.0: give more than"),
        (text_pair.Model(last_temperature=math.inf), "temperature is inf: give more"),
        (digit_classifier.Model(widths=(8, 0, 8, 8)), "--model.widths is 8 0 8 8: giv"),
        (digit_classifier.Model(features=0), "--model.features is 0: give 1"),
    ],
)
def test_numbers_that_no_network_can_have_are_refused(model, says):
    with pytest.raises(UserError, match=says):
        model.module() if model.family == "classifier" else model.generator()


@pytest.mark.parametrize("model", [mlp.Model(layers=0), resnet.Model(halvings=0)])
def test_none_of_what_a_network_can_do_without_is_fine(model):
    model.generator()
