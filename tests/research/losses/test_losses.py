"""Each loss found in the folder: golden values, and gradients at any logit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import parts

NAMES = parts.names("research.losses")
REAL = [2.0, -1.0, 0.5, 0.0]
FAKE = [-1.5, 0.25, 3.0, -0.5]


def softplus(x):
    return np.logaddexp(0, np.float64(x))


def sigmoid(x):
    return np.exp(-softplus(-np.float64(x)))


# On REAL and FAKE, by the formulas of the papers in float64, then written down.
GOLDEN = {
    # mean −ln σ(real) + mean −ln(1 − σ(fake)); mean −ln σ(fake)
    "non_saturating": (1.7893577242, 0.8250042584),
    # mean −ln σ(real − fake); mean −ln σ(fake − real), of pairs
    "relativistic": (1.1461615545, 1.2086615545),
}


def test_the_golden_values_are_the_formulas():
    real, fake = np.float64(REAL), np.float64(FAKE)
    non_saturating = (
        np.mean(-np.log(sigmoid(real))) + np.mean(-np.log(1 - sigmoid(fake))),
        np.mean(-np.log(sigmoid(fake))),
    )
    pairs = real - fake
    relativistic = (
        np.mean(-np.log(sigmoid(pairs))),
        np.mean(-np.log(sigmoid(-pairs))),
    )
    np.testing.assert_allclose(GOLDEN["non_saturating"], non_saturating, atol=1e-9)
    np.testing.assert_allclose(GOLDEN["relativistic"], relativistic, atol=1e-9)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name):
    loss = parts.find("research.losses", name)
    real, fake = jnp.array(REAL), jnp.array(FAKE)
    got = float(loss.discriminator(real, fake)), float(loss.generator(real, fake))
    np.testing.assert_allclose(got, GOLDEN[name], rtol=1e-6)


def test_an_ignorant_discriminator_costs_two_bits():
    loss = parts.find("research.losses", "non_saturating")
    zero = jnp.zeros(3)
    np.testing.assert_allclose(loss.discriminator(zero, zero), 2 * np.log(2), rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("logit", [-5.0, -20.0, -100.0, -1e4])
def test_the_generator_s_gradient_does_not_saturate(logit, dtype):
    """Where D is sure of a fake, each of 4 pictures still pulls with nearly 1/4."""
    fake = jnp.full(4, logit, dtype)
    for name in GOLDEN:
        generator = parts.find("research.losses", name).generator
        pull = jax.grad(lambda f, g=generator: g(jnp.zeros(4, dtype), f))(fake)
        assert (np.abs(np.float64(pull)) >= 0.99 / 4).all(), name
        assert (np.float64(pull) < 0).all(), name


@pytest.mark.parametrize("name", GOLDEN)
def test_gradients_are_the_closed_form(name):
    """d softplus(x)/dx = σ(x), at moderate and at extreme logits."""
    loss = parts.find("research.losses", name)
    values = [-1e4, -100.0, -3.0, 0.0, 0.5, 100.0, 1e4]
    grid = np.array([(r, f) for r in values for f in values])
    real, fake = jnp.float32(grid[:, 0]), jnp.float32(grid[:, 1])
    if name == "non_saturating":
        toward_real, toward_fake = -sigmoid(-grid[:, 0]), sigmoid(grid[:, 1])
        by_generator = 0 * toward_real, -sigmoid(-grid[:, 1])
    else:
        wrong = sigmoid(grid[:, 1] - grid[:, 0])
        toward_real, toward_fake = -wrong, wrong
        by_generator = 1 - wrong, wrong - 1
    got = jax.grad(loss.discriminator, (0, 1))(real, fake)
    got_by_generator = jax.grad(loss.generator, (0, 1))(real, fake)
    for ours, theirs in [
        *zip(got, (toward_real, toward_fake), strict=True),
        *zip(got_by_generator, by_generator, strict=True),
    ]:
        np.testing.assert_allclose(ours, theirs / len(grid), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
class TestEveryLoss:
    """What holds for any loss that a fork puts into the folder."""

    def test_is_a_float32_scalar_and_a_mean(self, name):
        loss = parts.find("research.losses", name)
        real, fake = jnp.array(REAL), jnp.array(FAKE)
        for function in (loss.discriminator, loss.generator):
            value = function(real, fake)
            assert value.shape == ()
            assert value.dtype == jnp.float32
            twice = function(jnp.tile(real, 2), jnp.tile(fake, 2))
            np.testing.assert_allclose(twice, value, rtol=1e-6)

    def test_pulls_logits_the_right_way(self, name):
        """D wants real logits up and fake ones down, G wants fake ones up."""
        loss = parts.find("research.losses", name)
        real, fake = jnp.array([0.3, -0.2, 0.1, 0.0]), jnp.array([0.2, 0.1, -0.3, 0.0])
        toward_real, toward_fake = jax.grad(loss.discriminator, (0, 1))(real, fake)
        assert (toward_real < 0).all()
        assert (toward_fake > 0).all()
        assert (jax.grad(loss.generator, 1)(real, fake) < 0).all()

    @pytest.mark.parametrize("size", [100.0, 1e4])
    def test_is_finite_at_any_logit(self, name, size):
        loss = parts.find("research.losses", name)
        real = jnp.array([size, size, -size, -size])
        fake = jnp.array([size, -size, size, -size])
        for function in (loss.discriminator, loss.generator):
            value, gradients = jax.value_and_grad(function, (0, 1))(real, fake)
            assert jnp.isfinite(value)
            assert jnp.isfinite(jnp.stack(gradients)).all()
