"""Spectral norm against numpy's singular values, and its state within a step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.media import points
from research.models import _spectral, mlp
from research.models._layers import Conv, Dense
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.training.axes import BATCH

KEY = jax.random.key(9)


def normalized(layer, variables, x):
    """The kernel that the layer applies, read from its outputs on a basis."""
    bias = variables["params"]["bias"]
    return layer.apply(variables, x) - bias


@pytest.mark.parametrize(
    ("layer", "inputs"), [(Dense(7, spectral=True), 5), (Dense(3, spectral=True), 11)]
)
def test_a_dense_kernel_has_norm_one(layer, inputs):
    variables = dict(layer.init(KEY, jnp.zeros((1, inputs))))
    warm = _spectral.warmed(variables["params"], variables["spectral"])
    applied = normalized(layer, variables | {"spectral": warm}, jnp.eye(inputs))
    assert 0.99 < np.linalg.norm(np.float64(applied), 2) < 1.01


def test_sigma_of_a_convolution_is_that_of_its_matrix():
    """Of [taps · in, out], as Miyato 2018 has it, after 20 iterations."""
    layer = Conv(6, 3, spectral=True)
    variables = dict(layer.init(KEY, jnp.zeros((1, 4, 4, 2))))
    vectors = variables["spectral"]
    for _ in range(20):
        vectors = _spectral.advance(variables["params"], vectors)
    kernel = variables["params"]["kernel"]
    sigma = _spectral.largest_singular_value(kernel, vectors["u"])
    want = np.linalg.svd(np.float64(kernel).reshape(-1, 6), compute_uv=False)[0]
    np.testing.assert_allclose(sigma, want, rtol=1e-2)
    x = jax.random.normal(KEY, (2, 4, 4, 2))
    got = layer.apply(variables | {"spectral": vectors}, x)
    plain = Conv(6, 3).apply({"params": variables["params"]}, x)
    np.testing.assert_allclose(got, plain / sigma, rtol=1e-5, atol=1e-6)


def test_the_gradient_flows_through_sigma():
    """d(W/σ) with σ = vᵀWu: uvᵀ is its slope (Miyato 2018, equation 12)."""
    rng = np.random.default_rng(3)
    kernel, weights = rng.normal(size=(2, 5, 4))
    left, values, right = np.linalg.svd(kernel)
    v, u, sigma = left[:, 0], right[0], values[0]
    want = weights / sigma - (weights * kernel).sum() / sigma**2 * np.outer(v, u)
    got = jax.grad(
        lambda k: jnp.sum(
            jnp.float32(weights)
            * k
            / _spectral.largest_singular_value(k, jnp.float32(u))
        )
    )(jnp.float32(kernel))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_step_advances_the_vectors_once_and_draws_do_not():
    """However often D is asked: for real, for fake, for penalties, in G's update."""
    model = mlp.Model(hidden=6, layers=2, spectral=True)
    task = Gan("hinge", {"r1": 0.1}).build(model, Optimizer(), 10, points)
    batch = {
        "point": jax.random.normal(KEY, (8, 2)),
        "position": jnp.arange(8, dtype=jnp.uint32),
    }
    state = jax.jit(task.init)(KEY, batch)
    before = state.discriminator
    for layer, kernel in before.params.items():
        sigma = _spectral.largest_singular_value(
            kernel["kernel"], before.spectral[layer]["u"]
        )
        want = np.linalg.norm(np.float64(kernel["kernel"]), 2)
        np.testing.assert_allclose(sigma, want, rtol=2e-2, err_msg=layer)
    step = jax.jit(jax.vmap(task.step, (None, 0, None), axis_name=BATCH))
    new, _ = step(state, jax.tree.map(lambda a: a[None], batch), KEY)
    after = jax.tree.map(lambda a: a[0], new).discriminator
    assert set(after.spectral) == {"Dense_0", "Dense_1", "Dense_2"}
    for layer, held in after.spectral.items():
        kernel = np.float64(after.params[layer]["kernel"])
        v = kernel @ before.spectral[layer]["u"]
        u = kernel.T @ (v / np.linalg.norm(v))
        np.testing.assert_allclose(
            held["u"], u / np.linalg.norm(u), rtol=1e-4, atol=1e-5
        )
