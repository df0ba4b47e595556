"""The Gaussian of real vectors against scipy, in float64, and its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from research.outcomes import (
    FLOOR,
    OUTCOMES,
    gaussian_draw,
    gaussian_loss,
    gaussian_outputs,
)

CHANNELS = 3
RNG = np.random.default_rng(0)
OUTPUTS = RNG.normal(size=(5, gaussian_outputs(CHANNELS)))
VECTORS = RNG.normal(size=(5, CHANNELS))


def root(outputs):
    """(I − A)⁻¹ S: its product with its transpose is the covariance."""
    lower = np.zeros((CHANNELS, CHANNELS))
    lower[1, 0], lower[2, 0], lower[2, 1] = outputs[2 * CHANNELS :]
    scale = FLOOR + np.log1p(np.exp(outputs[CHANNELS : 2 * CHANNELS]))
    return np.linalg.inv(np.eye(CHANNELS) - lower) @ np.diag(scale)


def nats(outputs, vector):
    covariance = root(outputs) @ root(outputs).T
    return -multivariate_normal.logpdf(vector, outputs[:CHANNELS], covariance)


def test_the_cost_of_a_vector_is_scipy_s_and_so_is_its_slope():
    """Central differences of scipy's, in float64."""
    loss = jax.value_and_grad(lambda o: gaussian_loss(o, jnp.float32(VECTORS)).sum())
    got, slope = loss(jnp.float32(OUTPUTS))
    pairs = list(zip(OUTPUTS, VECTORS, strict=True))
    np.testing.assert_allclose(got, sum(nats(*pair) for pair in pairs), rtol=1e-5)
    step = 1e-5 * np.eye(OUTPUTS.shape[1])
    want = [
        [(nats(o + s, vector) - nats(o - s, vector)) / 2e-5 for s in step]
        for o, vector in pairs
    ]
    np.testing.assert_allclose(slope, want, rtol=1e-4, atol=1e-4)


def test_noise_is_drawn_through_the_covariance_s_root():
    """Each direction by itself: columns of the root, beside the mean."""
    noise = jnp.eye(CHANNELS)
    for outputs in OUTPUTS:
        each = jnp.broadcast_to(jnp.float32(outputs), (CHANNELS, len(outputs)))
        want = outputs[:CHANNELS] + root(outputs).T
        np.testing.assert_allclose(gaussian_draw(each, noise), want, atol=1e-5)


def test_a_missing_value_is_not_scored_and_leaves_the_slopes_of_the_others():
    targets = VECTORS.copy()
    targets[1, 2] = np.nan
    losses = OUTCOMES["vectors"].losses

    def loss(outputs):
        found, scored = losses(outputs, jnp.float32(targets), 0.0)
        return found.sum(), (found, scored)

    slope, (found, scored) = jax.grad(loss, has_aux=True)(jnp.float32(OUTPUTS))
    np.testing.assert_array_equal(scored, [1, 0, 1, 1, 1])
    want = [0 if i == 1 else nats(OUTPUTS[i], VECTORS[i]) for i in range(5)]
    np.testing.assert_allclose(found, want, rtol=1e-5)
    assert not slope[1].any()
    assert np.asarray(slope)[[0, 2, 3, 4]].any(axis=1).all()


@pytest.mark.parametrize("away", [0.0, 1e4])
def test_a_variance_stays_above_its_floor_and_the_slopes_finite(away):
    """A model that is as sure as it can be, where it is right and where it is wrong."""
    outputs = jnp.zeros(5).at[2:4].set(-1e4)
    value, slope = jax.value_and_grad(gaussian_loss)(outputs, jnp.array([away, 0.0]))
    want = 2 * (np.log(FLOOR) + np.log(2 * np.pi) / 2) + (away / FLOOR) ** 2 / 2
    np.testing.assert_allclose(value, want, rtol=1e-5)
    assert jnp.isfinite(slope).all()
