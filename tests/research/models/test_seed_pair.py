"""The article's pair against its table, and against an implementation in numpy."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.models.seed_pair import Model
from research.training.axes import BATCH


def apply(module, variables, *example):
    return jax.jit(partial(module.apply, train=False))(variables, *example)


def shapes(module, *example):
    """Shapes of a module's variables, without making them."""
    init = partial(module.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), *example)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


NOISE, PICTURES = jnp.zeros((2, 100)), jnp.zeros((2, 28, 28, 3))


def test_generator_s_parameters_layer_by_layer():
    """No biases where a BatchNorm follows: the article's table, reference 2,283,584."""
    dense, convolutions = 100 * 7 * 7 * 256, 25 * (256 * 128 + 128 * 64 + 64 * 3)
    norms = 2 * (128 + 64)
    with_norm = shapes(Model().generator(), NOISE)
    without = shapes(Model(final_norm=False).generator(), NOISE)
    assert count(without["params"]) == dense + convolutions + norms == 2_283_584
    assert count(with_norm["params"]) == 2_283_584 + 2 * 3 == 2_283_590
    assert count(with_norm["batch_stats"]) == 2 * (128 + 64 + 3)
    assert count(without["batch_stats"]) == 2 * (128 + 64)


def test_discriminator_s_parameters_layer_by_layer():
    convolutions = 25 * 3 * 64 + 64 + 25 * 64 * 128 + 128
    variables = shapes(Model().discriminator(), PICTURES)
    assert count(variables["params"]) == convolutions + 7 * 7 * 128 + 1 == 216_065
    assert set(variables) == {"params"}


def layer_shapes(module, *example):
    """Output shapes of the submodules, by their names."""

    def run():
        variables = module.init(jax.random.key(0), *example, train=False)
        return module.apply(
            variables, *example, train=False, capture_intermediates=True
        )

    out, captured = jax.eval_shape(run)
    found = {
        name: layer["__call__"][0].shape
        for name, layer in captured["intermediates"].items()
        if name != "__call__"
    }
    return out.shape, found


def test_generator_s_activations():
    """7×7×256 → 7×7×128 → 14×14×64 → 28×28×3."""
    out, layers = layer_shapes(Model().generator(), NOISE)
    assert layers["Dense_0"] == (2, 7 * 7 * 256)
    assert layers["ConvTranspose_0"] == (2, 7, 7, 128)
    assert layers["ConvTranspose_1"] == (2, 14, 14, 64)
    assert layers["ConvTranspose_2"] == (2, 28, 28, 3)
    assert out == (2, 28, 28, 3)
    kernels = shapes(Model().generator(), NOISE)["params"]
    assert kernels["ConvTranspose_0"]["kernel"].shape == (5, 5, 128, 256)


def test_discriminator_s_activations():
    """14×14×64 → 7×7×128 → 6272 → 1."""
    out, layers = layer_shapes(Model().discriminator(), PICTURES)
    assert layers["Conv_0"] == (2, 14, 14, 64)
    assert layers["Conv_1"] == (2, 7, 7, 128)
    assert layers["Dense_0"] == (2, 1)
    assert out == (2,)
    kernels = shapes(Model().discriminator(), PICTURES)["params"]
    assert kernels["Dense_0"]["kernel"].shape == (6272, 1)


# --- the same networks in float64 numpy ----------------------------------------------


def convolve(x, kernel, bias):
    """5×5, stride 2, SAME: TensorFlow pads 1 before and 2 after an even side."""
    batch, side, _, _ = x.shape
    x = np.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)))
    out = np.zeros((batch, side // 2, side // 2, kernel.shape[3]))
    for i, j in np.ndindex(side // 2, side // 2):
        patch = x[:, 2 * i : 2 * i + 5, 2 * j : 2 * j + 5]
        out[:, i, j] = np.einsum("bhwi,hwio->bo", patch, kernel)
    return out + bias


def convolve_transposed(x, kernel, stride):
    """Each input pixel stamps its 5×5 kernel; the edge that SAME adds is cut off."""
    batch, side, _, _ = x.shape
    before = {1: 2, 2: 1}[stride]
    out = np.zeros((batch, side * stride + 4, side * stride + 4, kernel.shape[2]))
    for i, j in np.ndindex(side, side):
        stamp = np.einsum("bi,hwoi->bhwo", x[:, i, j], kernel)
        out[:, i * stride : i * stride + 5, j * stride : j * stride + 5] += stamp
    return out[:, before : before + side * stride, before : before + side * stride]


def normalise(x, params, stats):
    share = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-3)
    return share * params["scale"] + params["bias"]


def leaky(x):
    return np.where(x > 0, x, 0.3 * x)


def generator_in_numpy(variables, noise, final_norm):
    params, stats = variables["params"], variables["batch_stats"]
    width = params["ConvTranspose_0"]["kernel"].shape[3]
    x = np.maximum(noise @ params["Dense_0"]["kernel"], 0).reshape(-1, 7, 7, width)
    for layer, stride in enumerate((1, 2, 2)):
        x = convolve_transposed(x, params[f"ConvTranspose_{layer}"]["kernel"], stride)
        if layer < 2 or final_norm:
            norm = f"BatchNorm_{layer}"
            x = normalise(x, params[norm], stats[norm])
        x = np.maximum(x, 0) if layer < 2 else np.tanh(x)
    return x


def discriminator_in_numpy(variables, images):
    params, x = variables["params"], images
    for layer in ("Conv_0", "Conv_1"):
        x = leaky(convolve(x, params[layer]["kernel"], params[layer]["bias"]))
    x = x.reshape(len(x), -1) @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
    return x[:, 0]


def drawn(module, *example):
    """Variables by numpy (compiling JAX's own draws takes long), none 0 or 1: that
    would hide a mistake. Variances are small, so that the tanh is used."""
    rng = np.random.default_rng(8)
    kinds = {
        "kernel": lambda s: rng.normal(scale=0.8 / np.sqrt(np.prod(s[:-1])), size=s),
        "scale": lambda s: rng.uniform(1, 1.5, s),
        "bias": lambda s: rng.uniform(0.1, 0.3, s),
        "mean": lambda s: rng.uniform(0, 0.1, s),
        "var": lambda s: rng.uniform(0.2, 0.3, s),
    }

    def draw(path, leaf):
        return np.float32(kinds[path[-1].key](leaf.shape))

    return jax.tree_util.tree_map_with_path(draw, shapes(module, *example))


def wide(tree):
    return jax.tree.map(np.float64, tree)


SMALL = Model(width=4, latent=6)


@pytest.fixture(scope="module")
def small():
    """A narrow generator, its stirred variables and noise for 64 pictures."""
    noise = np.random.default_rng(1).normal(size=(64, SMALL.latent)).astype(np.float32)
    return SMALL.generator(), drawn(SMALL.generator(), noise), noise


@pytest.mark.parametrize("final_norm", [True, False])
def test_generator_equals_the_one_in_numpy(final_norm):
    model = dataclasses.replace(SMALL, final_norm=final_norm)
    noise = np.random.default_rng(2).normal(size=(3, SMALL.latent)).astype(np.float32)
    variables = drawn(model.generator(), noise)
    got = apply(model.generator(), variables, noise)
    want = generator_in_numpy(wide(variables), np.float64(noise), final_norm)
    assert np.abs(want).max() < 1  # not all saturated
    assert want.std() > 0.05
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_discriminator_equals_the_one_in_numpy():
    images = np.random.default_rng(3).uniform(-1, 1, (3, 28, 28, 3))
    variables = drawn(SMALL.discriminator(), images)
    got = apply(SMALL.discriminator(), variables, images)
    want = discriminator_in_numpy(wide(variables), np.float64(images))
    assert want.std() > 0.01
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_the_leaky_slope_is_a_setting():
    """All first activations are −1, the second layer adds one centre tap of each."""
    slope = 0.2
    model = Model(width=1, slope=slope)
    images = jnp.zeros((1, 28, 28, 3))
    variables = drawn(model.discriminator(), images)
    variables = jax.tree.map(np.zeros_like, variables)
    params = variables["params"]
    params["Conv_0"]["bias"] -= 1
    params["Conv_1"]["kernel"][2, 2] = 1
    params["Dense_0"]["kernel"] += 1 / 98
    logit = apply(model.discriminator(), variables, images)
    np.testing.assert_allclose(logit, [-(slope**2)], rtol=1e-5)


def test_pictures_stay_in_the_range_of_tanh(small):
    generator, variables, noise = small
    large = jax.tree.map(lambda leaf: 50 * leaf, variables)
    for these in (variables, large):
        images = np.abs(apply(generator, these, noise))
        assert images.max() <= 1
    assert images.max() == 1


def test_in_evaluation_a_picture_does_not_see_its_neighbours(small):
    generator, variables, noise = small
    together = apply(generator, variables, noise)
    for batch in (1, 7):
        alone = apply(generator, variables, noise[:batch])
        np.testing.assert_allclose(alone, together[:batch], atol=3e-6)


def test_training_moves_the_running_statistics_by_the_momentum():
    momentum = 0.7
    model = dataclasses.replace(SMALL, norm_momentum=momentum)
    noise = np.random.default_rng(4).normal(size=(8, SMALL.latent)).astype(np.float32)
    variables = drawn(model.generator(), noise)
    train = partial(model.generator().apply, train=True, mutable=["batch_stats"])
    train = jax.vmap(train, (None, 0), axis_name=BATCH)
    _, moved = jax.jit(train)(variables, noise[None])
    params = wide(variables["params"])
    x = np.float64(noise) @ params["Dense_0"]["kernel"]
    x = np.maximum(x, 0).reshape(8, 7, 7, 4 * SMALL.width)
    x = convolve_transposed(x, params["ConvTranspose_0"]["kernel"], 1)
    for name, batch_value in (("mean", x.mean((0, 1, 2))), ("var", x.var((0, 1, 2)))):
        old = np.float64(variables["batch_stats"]["BatchNorm_0"][name])
        want = momentum * old + (1 - momentum) * batch_value
        got = moved["batch_stats"]["BatchNorm_0"][name][0]
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_initial_kernels():
    """Glorot uniform: bound √(6/(fan in + fan out)); DCGAN: N(0, 0.02)."""
    key, shape = jax.random.key(0), (5, 5, 16, 32)
    bound = np.sqrt(6 / (25 * (16 + 32)))
    for net in (Model().generator(), Model().discriminator()):
        glorot = np.asarray(net.kernel_init(key, shape))
        assert 0.999 * bound < np.abs(glorot).max() <= bound
        np.testing.assert_allclose(glorot.std(), bound / np.sqrt(3), rtol=0.02)
    dcgan = Model(kernel_std=0.02)
    for net in (dcgan.generator(), dcgan.discriminator()):
        normal = np.asarray(net.kernel_init(key, shape))
        np.testing.assert_allclose(normal.std(), 0.02, rtol=0.02)
        assert np.abs(normal).max() > 0.06


def test_every_kernel_starts_by_the_setting():
    """A marked initial value is found in every kernel and nowhere else."""
    marked = nn.initializers.constant(0.5)
    pair = (
        (SMALL.generator().clone(kernel_init=marked), NOISE),
        (SMALL.discriminator().clone(kernel_init=marked), PICTURES),
    )
    for module, example in pair:
        init = jax.jit(partial(module.init, train=False))
        params = init(jax.random.key(0), example)["params"]
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            expected = {"kernel": 0.5, "scale": 1.0, "bias": 0.0}[path[-1].key]
            assert (np.asarray(leaf) == expected).all(), path
