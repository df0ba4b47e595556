"""The norm-free pair: what it is at its start, its variance, and a penalised step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.models import r3gan
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.training.axes import BATCH

KEY = jax.random.key(1)
SMALL = r3gan.Model((8, 6), blocks=1, group=4, channels=1, latent=5)


def test_blocks_add_nothing_at_first():
    """So the fresh networks are their resampling and 1×1 convolutions alone."""
    block = r3gan.Block(SMALL)
    x = jax.random.normal(KEY, (2, 4, 4, 6))
    variables = block.init(KEY, x)
    np.testing.assert_array_equal(block.apply(variables, x), x)


def test_fixup_s_deviation():
    """√(2/(1 + 0.2²)) / √fan · L^(−1/4) for L = 16 blocks: half of Kaiming's."""
    model = r3gan.Model((64,) * 4, blocks=4)
    assert model.fixup() == 0.5
    kernel = r3gan.Block(model).init(KEY, jnp.zeros((1, 4, 4, 64)))["params"]
    kernel = np.float64(kernel["Conv_0"]["kernel"])
    want = 0.5 * np.sqrt(2 / 1.04 / 64)
    np.testing.assert_allclose(kernel.std(), want, rtol=0.03)


def test_the_grouped_convolution_has_its_groups():
    variables = r3gan.Block(SMALL).init(KEY, jnp.zeros((1, 4, 4, 8)))["params"]
    shapes = sorted(v["kernel"].shape for v in variables.values())
    assert shapes == [(1, 1, 8, 16), (1, 1, 16, 8), (3, 3, 4, 16)]


def test_groups_that_do_not_divide_the_channels_are_refused():
    block = r3gan.Block(dataclasses.replace(SMALL, group=3))
    with pytest.raises(UserError, match=r"group 3 does not divide the 16 .*2 × 8\)"):
        block.init(KEY, jnp.zeros((1, 4, 4, 8)))


def test_z_scales_the_learned_maps():
    module = SMALL.generator()
    z = jax.random.normal(KEY, (3, 5))
    variables = module.init(KEY, z, train=False)
    assert module.apply(variables, z, train=False).shape == (3, 8, 8, 1)
    # Without biases, fresh: twice the noise is twice the picture.
    once = module.apply(variables, z, train=False)
    twice = module.apply(variables, 2 * z, train=False)
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-4, atol=1e-5)


def test_a_penalised_step_moves_every_weight():
    """After two steps, when the last convolutions of the blocks have left 0.

    The non-saturating loss: a pairing does not feel D's last biases.
    """
    task = Gan(penalties={"r1": 0.5}, noise="shared").build(
        SMALL, Optimizer("sgd", 0.05), 10
    )
    batch = {
        "image": jnp.uint8(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1))),
        "position": jnp.arange(4, dtype=jnp.uint32),
    }
    state = first = jax.jit(task.init)(KEY, batch)
    step = jax.jit(jax.vmap(task.step, (None, 0, None), axis_name=BATCH))
    for _ in range(2):
        state, _ = step(state, jax.tree.map(lambda a: a[None], batch), KEY)
        state = jax.tree.map(lambda a: a[0], state)
    for name in ("generator", "discriminator"):
        old, new = getattr(first, name).params, getattr(state, name).params
        moved = jax.tree.map(lambda a, b: float(jnp.abs(b - a).max()), old, new)
        for path, far in jax.tree_util.tree_leaves_with_path(moved):
            assert 0 < far < 10, (name, jax.tree_util.keystr(path))


def test_a_class_has_its_vector_beside_z_and_its_own_logit():
    model = dataclasses.replace(SMALL, classes=3)
    labels, z = jnp.array([0, 2, 1]), jax.random.normal(KEY, (3, 5))
    module = model.generator()
    variables = module.init(KEY, z, labels, train=False)
    vectors = variables["params"].pop("classes")
    assert vectors.shape == (3, 5)
    # Without classes, the same weights draw the same of z and the vector as noise.
    plain = dataclasses.replace(SMALL, latent=10).generator()
    both = jnp.concatenate([z, vectors[labels]], 1)
    want = plain.apply(variables, both, train=False)
    own = {"params": variables["params"] | {"classes": vectors}}
    got = module.apply(own, z, labels, train=False)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)

    judge = model.discriminator()
    variables = judge.init(KEY, want, labels, train=False)
    kernel = variables["params"]["Projection_0"]["kernel"]
    logits, seen = judge.apply(
        variables, want, labels, train=False, mutable="intermediates"
    )
    features = np.float64(seen["intermediates"]["features"][0])
    others = judge.apply(variables, want, 0 * labels, train=False)
    apart = np.float64(kernel).T[np.asarray(labels)] - np.float64(kernel).T[0]
    np.testing.assert_allclose(
        logits - others, (features * apart).sum(1), rtol=1e-4, atol=1e-6
    )
