"""The recurrent pair: noise becomes what it should, and the penalty's gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from research.models import recurrent_pair
from research.penalties import wgan_gp

SHAPE = (5, 3)


def penalty_of(backend):
    """The WGAN-GP penalty of a critic's weights, on fixed samples."""
    model = recurrent_pair.Model(
        SHAPE, hidden=6, layers=2, bidirectional=True, backend=backend
    )
    module = model.discriminator()
    real, fake = jax.random.normal(jax.random.key(1), (2, 4, *SHAPE))
    keys = jax.random.split(jax.random.key(2), 4)

    def penalty(params):
        def critic(x):
            return module.apply({"params": params}, x, train=True)

        return wgan_gp.penalty(critic, real, fake, keys)

    return penalty, module.init(jax.random.key(0), real, train=False)["params"]


def test_the_penalty_s_gradient_is_that_of_the_plain_scan_and_of_differences():
    """Through the fused kernel, whose gradient is differentiated once more."""
    fused, params = penalty_of(None)
    plain, _ = penalty_of("reference")
    value, gradient = jax.jit(jax.value_and_grad(fused))(params)
    want, plain_gradient = jax.jit(jax.value_and_grad(plain))(params)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        gradient,
        plain_gradient,
    )
    length = optax.tree.norm(gradient)
    fused = jax.jit(fused)
    step = 1e-2  # along the gradient, where the slope is its length
    ends = [
        fused(jax.tree.map(lambda a, d, s=s: a + s * d / length, params, gradient))
        for s in (step, -step)
    ]
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), length, rtol=2e-2)


@pytest.mark.parametrize("bounded", [False, True])
def test_each_step_depends_on_the_style_and_on_noise_up_to_it(bounded):
    model = recurrent_pair.Model(
        SHAPE, hidden=6, layers=2, style=4, noise=2, bounded=bounded
    )
    module = model.generator()
    z = jax.random.normal(jax.random.key(0), (3, model.latent))
    variables = module.init(jax.random.key(1), z, train=False)

    def draw(z):
        return module.apply(variables, z[None], train=False)[0]

    drawn = draw(z[0])
    assert drawn.shape == SHAPE
    large = jax.tree.map(lambda leaf: 30 * leaf, variables)
    far = jnp.abs(module.apply(large, z, train=False)).max()
    assert bool(far <= 1) == bounded
    # [time, noise]: whether a step's values move with a number of the noise
    moves = jnp.abs(jax.jacobian(draw)(z[0])).sum(axis=1) > 0
    assert moves[:, :4].all()  # the style moves every step
    step_of_noise = np.repeat(np.arange(5), 2)
    np.testing.assert_array_equal(moves[:, 4:], np.arange(5)[:, None] >= step_of_noise)
