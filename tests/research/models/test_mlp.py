"""The perceptrons: parameter counts, and D's units by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from research.models import mlp
from research.task import count


def initial(module, x):
    return module.init(jax.random.key(0), x, train=False)


def test_parameter_counts():
    """PacGAN's own: G 2-400×4-2 with BatchNorm, D three maxout layers of 200 × 5."""
    pac = mlp.Model(hidden=400, layers=4, norm=True)
    got = count(initial(pac.generator(), jnp.zeros((1, 2)))["params"])
    widths = [2, 400, 400, 400, 400]
    dense = sum((a + 1) * b for a, b in zip(widths, [*widths[1:], 2], strict=True))
    assert got == dense + 4 * 2 * 400
    critic = mlp.Model(hidden=200, layers=3, maxout=5).discriminator()
    got = count(initial(critic, jnp.zeros((1, 2)))["params"])
    assert got == (2 + 1) * 1000 + 2 * (200 + 1) * 1000 + 201


def test_the_discriminator_by_hand():
    """LeakyReLU with slope 0.2, and maxout, against numpy."""
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    for model in (
        mlp.Model(hidden=6, layers=2),
        mlp.Model(hidden=6, layers=2, maxout=3),
    ):
        module = model.discriminator()
        variables = initial(module, x)
        h = np.float64(x)
        for layer in ("Dense_0", "Dense_1"):
            p = variables["params"][layer]
            h = h @ np.float64(p["kernel"]) + p["bias"]
            if model.maxout > 1:
                h = h.reshape(5, 6, 3).max(-1)
            else:
                h = np.where(h > 0, h, 0.2 * h)
        p = variables["params"]["Dense_2"]
        want = (h @ np.float64(p["kernel"]) + p["bias"])[:, 0]
        got, seen = module.apply(variables, x, train=True, mutable=["intermediates"])
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            seen["intermediates"]["features"][0], h, rtol=1e-4, atol=1e-5
        )


def test_samples_have_the_data_s_shape_and_pictures_their_range():
    model = mlp.Model(shape=(8, 8, 3), hidden=16, layers=1, latent=5, bounded=True)
    z = 100 * jax.random.normal(jax.random.key(1), (4, 5))
    module = model.generator()
    drawn = module.apply(initial(module, z), z, train=False)
    assert drawn.shape == (4, 8, 8, 3)
    assert jnp.abs(drawn).max() == 1
