"""DCGAN: sizes, parameter counts, and its transposed convolutions at odd sizes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.models import dcgan
from research.task import count

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({"size": 64}, [64, 32, 16, 8, 4]),
        ({"size": 28}, [28, 14, 7]),
        ({"size": 56}, [56, 28, 14, 7]),
        ({"size": 128}, [128, 64, 32, 16, 8, 4]),
        ({"size": 28, "halvings": 4}, [28, 14, 7, 4, 2]),
        ({"size": 48}, [48, 24, 12, 6]),
    ],
)
def test_sizes_and_shapes(settings, sizes):
    model = dcgan.Model(width=2, latent=3, **settings)
    assert model.sizes() == sizes
    size = settings["size"]

    def drawn():
        module = model.generator()
        z = jnp.zeros((2, 3))
        return module.apply(module.init(KEY, z, train=False), z, train=False)

    def judged():
        module = model.discriminator()
        x = jnp.zeros((2, size, size, 3))
        return module.apply(module.init(KEY, x, train=False), x, train=False)

    assert jax.eval_shape(drawn).shape == (2, size, size, 3)
    assert jax.eval_shape(judged).shape == (2,)


def counts(model):
    def params(module, x):
        return jax.eval_shape(lambda: module.init(KEY, x, train=False))["params"]

    z = jnp.zeros((1, model.latent))
    x = jnp.zeros((1, model.size, model.size, model.channels))
    return count(params(model.generator(), z)), count(params(model.discriminator(), x))


def test_parameter_counts_of_the_paper_s_64_pixels():
    """Widths 1024 512 256 128 and 3, a BatchNorm before each (Radford 2015, fig. 1)."""
    wide = [1024, 512, 256, 128, 3]
    g = 100 * 16 * 1024 + sum(25 * a * b + 2 * a for a, b in itertools.pairwise(wide))
    wide = [3, 128, 256, 512, 1024]
    d = sum(25 * a * b + b for a, b in itertools.pairwise(wide))
    d += 2 * (256 + 512 + 1024) + 16 * 1024 + 1
    assert counts(dcgan.Model(width=128)) == (g + 3, d)


def test_parameter_counts_of_pacgan_s_28_pixels():
    """2×2×512, 256, 128, 64 to the picture; 64, 128, 256, 512 in D."""
    g = 100 * 4 * 512 + 25 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 3
    g += 2 * (512 + 256 + 128 + 64)
    d = 25 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 64 + 128 + 256 + 512
    d += 2 * (128 + 256 + 512) + 4 * 512 + 1
    assert counts(dcgan.Model(size=28, halvings=4)) == (g, d)


@pytest.mark.parametrize("size", [7, 8])
def test_growing_is_the_gradient_of_halving(size):
    """Against jax's own gradient of a SAME convolution, which pads odd sizes so."""
    layer = dcgan.Twice(2, size, use_bias=False)
    g = jax.random.normal(KEY, (2, 4, 4, 3))
    variables = layer.init(KEY, g)
    kernel = variables["params"]["kernel"]

    def halve(x):
        axes = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=axes
        )

    _, pull_back = jax.vjp(halve, jnp.zeros((2, size, size, 2)))
    np.testing.assert_allclose(
        layer.apply(variables, g), pull_back(g)[0], rtol=1e-5, atol=1e-6
    )


def test_a_picture_with_nothing_to_halve_is_refused():
    with pytest.raises(UserError, match=r"model\.size 4"):
        dcgan.Model(size=4).sizes()
