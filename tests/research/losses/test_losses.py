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
    # the same D as non_saturating; mean ln(1 − σ(fake))
    "minimax": (1.7893577242, -1.1375042584),
    # ½ mean (real − 1)² + ½ mean fake²; ½ mean (fake − 1)²
    "lsgan": (2.2265625, 1.6328125),
    # mean fake − mean real; −mean fake
    "wgan": (-0.0625, -0.3125),
    # mean max(0, 1 − real) + mean max(0, 1 + fake); −mean fake
    "hinge": (2.3125, -0.3125),
}


def formulas(real, fake):
    """Each loss of D and of G as its paper writes it, in float64."""

    def ln(x):
        return np.log(sigmoid(x))

    judge = -ln(real).mean() - np.log(1 - sigmoid(fake)).mean()
    pairs = real - fake
    squares = ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2
    margins = np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()
    return {
        "non_saturating": (judge, -ln(fake).mean()),
        "relativistic": (-ln(pairs).mean(), -ln(-pairs).mean()),
        "minimax": (judge, np.log(1 - sigmoid(fake)).mean()),
        "lsgan": (squares, ((fake - 1) ** 2).mean() / 2),
        "wgan": (fake.mean() - real.mean(), -fake.mean()),
        "hinge": (margins, -fake.mean()),
    }


def test_the_golden_values_are_the_formulas():
    found = formulas(np.float64(REAL), np.float64(FAKE))
    assert found.keys() == GOLDEN.keys()
    for name, want in found.items():
        np.testing.assert_allclose(GOLDEN[name], want, atol=1e-9, err_msg=name)


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
    """Where D is sure of a fake, each of 4 pictures still pulls with nearly 1/4.

    All but the minimax loss, whose pull is σ(logit) / 4.
    """
    fake = jnp.full(4, logit, dtype)
    minimax = parts.find("research.losses", "minimax").generator
    pull = jax.grad(lambda f: minimax(jnp.zeros(4, dtype), f))(fake)
    np.testing.assert_allclose(np.float64(pull), -sigmoid(logit) / 4, 2e-2, 1e-30)
    for name in GOLDEN.keys() - {"minimax"}:
        generator = parts.find("research.losses", name).generator
        pull = jax.grad(lambda f, g=generator: g(jnp.zeros(4, dtype), f))(fake)
        assert (np.abs(np.float64(pull)) >= 0.99 / 4).all(), name
        assert (np.float64(pull) < 0).all(), name


def slopes(real, fake):
    """Times the batch: D's toward real and fake, G's toward fake, by hand."""
    wrong = sigmoid(fake - real)
    judge = -sigmoid(-real), sigmoid(fake)
    one = np.ones_like(real)
    return {
        "non_saturating": (*judge, -sigmoid(-fake)),
        "minimax": (*judge, -sigmoid(fake)),
        "relativistic": (-wrong, wrong, wrong - 1),
        "lsgan": (real - 1, fake, fake - 1),
        "wgan": (-one, one, -one),
        "hinge": (-one * (real < 1), one * (fake > -1), -one),
    }


@pytest.mark.parametrize("name", GOLDEN)
def test_gradients_are_the_closed_form(name):
    """d softplus(x)/dx = σ(x), at moderate and at extreme logits."""
    loss = parts.find("research.losses", name)
    values = [-1e4, -100.0, -3.0, 0.0, 0.5, 100.0, 1e4]
    grid = np.array([(r, f) for r in values for f in values])
    real, fake = jnp.float32(grid[:, 0]), jnp.float32(grid[:, 1])
    got = (
        *jax.grad(loss.discriminator, (0, 1))(real, fake),
        jax.grad(loss.generator, 1)(real, fake),
    )
    for ours, theirs in zip(got, slopes(*grid.T)[name], strict=True):
        np.testing.assert_allclose(ours, theirs / len(grid), rtol=1e-5, atol=1e-8)
    toward_real = jax.grad(loss.generator, 0)(real, fake)
    want = -got[2] if name == "relativistic" else 0 * real
    np.testing.assert_allclose(toward_real, want, rtol=1e-5, atol=1e-8)


SMOOTHED = ["non_saturating", "minimax", "lsgan"]


@pytest.mark.parametrize("name", SMOOTHED)
@pytest.mark.parametrize("target", [0.9, 0.7])
def test_a_smoothed_label_is_the_real_one_alone(name, target):
    """Salimans 2016, 3.4: real target t, fake target 0, and the fakes' term as before.

    D's real term is least at log(t/(1 − t)) for a sigmoid, at t for least squares.
    """
    discriminator = parts.find("research.losses", name).discriminator
    best = target if name == "lsgan" else np.log(target / (1 - target))
    real, fake = jnp.full(3, best, jnp.float32), jnp.array([0.4, -2.0, 30.0])
    toward_real, toward_fake = jax.grad(discriminator, (0, 1))(real, fake, target)
    np.testing.assert_allclose(toward_real, 0, atol=1e-7)
    plain = jax.grad(discriminator, 1)(real, fake)
    np.testing.assert_array_equal(toward_fake, plain)
    d = sigmoid(np.float64(REAL))
    want = -(target * np.log(d) + (1 - target) * np.log(1 - d)).mean()
    if name == "lsgan":
        want = ((np.float64(REAL) - target) ** 2).mean() / 2
    got = discriminator(
        jnp.array(REAL), jnp.full(4, -1e9 if name != "lsgan" else 0.0), target
    )
    np.testing.assert_allclose(got, want, rtol=1e-6)


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
        """D wants real logits up and fake ones down, G wants fake ones up.

        Between the targets 0 and 1: least squares pulls back what lies beyond.
        """
        loss = parts.find("research.losses", name)
        real, fake = jnp.array([0.3, 0.2, 0.1, 0.5]), jnp.array([0.2, 0.1, 0.3, 0.6])
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
