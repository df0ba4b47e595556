"""Games that no run could mean, each refused with its reason before a step."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from research.errors import UserError
from research.media import pictures, points
from research.models import dirac, mlp, resnet
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.training.axes import BATCH

KEY = jax.random.key(0)
BATCH_OF_4 = {
    "point": jnp.zeros((4, 2)),
    "position": jnp.arange(4, dtype=jnp.uint32),
}
SMALL = mlp.Model(hidden=2, layers=1)
NORMED = dataclasses.replace(SMALL, discriminator_norm=True)
COUPLED = dataclasses.replace(SMALL, minibatch_kernels=2)


def begin(config, model=SMALL, accumulate=1):
    """The shapes of the game's first state, and the game."""
    task = config.build(model, Optimizer(accumulate=accumulate), 10, points)
    return jax.eval_shape(task.init, KEY, BATCH_OF_4), task


def test_gradients_by_sample_are_refused_with_batchnorm_in_d():
    for config in (Gan(penalties={"r1": 1.0}), Gan(gradient_normalization=True)):
        with pytest.raises(UserError, match=r"with BatchNorm in D: .* whole batch"):
            begin(config, NORMED)


@pytest.mark.parametrize(
    ("model", "settings", "says"),
    [
        (SMALL, {"generator_objective": "features"}, "--task.generator-objective"),
        (NORMED, {}, "BatchNorm in D"),
        (COUPLED, {}, "minibatch discrimination in D"),
    ],
)
def test_what_a_whole_batch_decides_is_not_cut_into_shares(model, settings, says):
    """‖E f(x) − E f(G(z))‖² of the batch is no mean over shares of theirs."""
    with pytest.raises(UserError, match=f"--optimizer.accumulate 2 with {says}"):
        begin(Gan(**settings), model, accumulate=2)


def test_a_pack_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(UserError, match="packing 3 does not divide the 4 samples"):
        begin(Gan(packing=3))


class Column(nn.Module):
    @nn.compact
    def __call__(self, samples, train):
        return nn.Dense(1)(samples)


class Columns(mlp.Model):
    def discriminator(self):
        return Column()


def test_logits_with_an_axis_too_many_are_refused():
    """A difference with a column would be a matrix of all pairs."""
    with pytest.raises(UserError, match=r"logits of shape \(4, 1\)"):
        begin(Gan("relativistic"), Columns())


def test_feature_matching_without_features_is_refused():
    state, task = begin(Gan(generator_objective="features"), dirac.Model())
    step = jax.vmap(task.step, (None, 0, None), axis_name=BATCH)
    batch = jax.tree.map(lambda leaf: leaf[None], BATCH_OF_4)
    with pytest.raises(UserError, match=r"feature matching needs self\.sow"):
        jax.eval_shape(step, state, batch, KEY)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"real_target": 1.2}, "--task.real-target is 1.2"),
        ({"real_target": 0.9, "loss": "wgan"}, "in the loss wgan D has no target"),
        ({"clip_weights": 0.0}, "--task.clip-weights is 0.0"),
        (
            {"discriminator_learning_rate": -1.0},
            "--task.discriminator-learning-rate is",
        ),
        ({"packing": 0}, "--task.packing is 0"),
        ({"discriminator_steps": 0}, "--task.discriminator-steps is 0"),
        ({"discriminator_steps": 2, "noise": "shared"}, "take --task.noise fresh"),
        ({"generator_steps": 2, "order": "simultaneous"}, "--task.order alternating"),
        ({"penalty_interval": 4}, "nothing to do lazily"),
        ({"penalty_interval": 10**11}, "100000000000: give 1 to 10,000"),
        ({"instance_noise": -1.0}, "--task.instance-noise is -1.0"),
        ({"instance_noise": 1.0, "instance_noise_share": 0.0}, "share of the run"),
        ({"historical_averaging": -0.1}, "--task.historical-averaging is -0.1"),
        ({"augmentations": ("color",)}, "change pictures, this data set is of points"),
        (
            {"penalties": {"r1": 1.0}, "discriminator_batches": "joint"},
            "joint is for a D with BatchNorm",
        ),
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings, says):
    with pytest.raises(UserError, match=says):
        begin(Gan(**settings))


def test_a_pack_has_no_one_label():
    with pytest.raises(UserError, match=r"packing 2 with a conditional model"):
        Gan(packing=2).build(resnet.Model(classes=3), Optimizer(), 10, pictures)
