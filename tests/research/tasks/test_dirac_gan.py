"""The Dirac-GAN (Mescheder 2018, section 2) with the project's losses and penalties.

One real picture, x = 0; G draws θ whatever the noise, D(x) = ψ·x. Near (0, 0) the game
is linear: the trace of its Jacobian says whether it is damped, the determinant how
strongly the two pull at each other. Known in closed form: det = f′(0)², which is 1/4
for the logistic losses, and a trace of −γ for each penalty.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import parts
from research.data import dirac
from research.evaluation import Evaluator
from research.media import points
from research.metrics import health
from research.models import dirac as model
from research.optimizers import Optimizer
from research.tasks.gan import Gan

PICTURES = 3
KEYS = jax.random.split(jax.random.key(0), PICTURES)
LOSSES = ["non_saturating", "relativistic", "minimax"]
# det = f′(0)²: 1/4 where a logistic function judges, 1 for a critic; hinge is one
# near 0.
PULL = dict.fromkeys(LOSSES, 0.25) | {"wgan": 1.0, "hinge": 1.0}


def field(loss, weights):
    """Both players' steepest descent: (θ, ψ) → (−∂L_G/∂θ, −∂L_D/∂ψ)."""
    loss = parts.find("research.losses", loss)
    penalties = {
        name: parts.find("research.penalties", name).penalty for name in weights
    }
    real = jnp.zeros((PICTURES, 1, 1, 1))

    def logits(psi, images):
        return psi * images[:, 0, 0, 0]

    def generator(theta, psi):
        fake = jnp.full_like(real, 1.0) * theta
        return loss.generator(logits(psi, real), logits(psi, fake))

    def discriminator(theta, psi):
        fake = jnp.full_like(real, 1.0) * theta
        value = loss.discriminator(logits(psi, real), logits(psi, fake))
        for name, weight in weights.items():
            value += weight * penalties[name](
                lambda x: logits(psi, x), real, fake, KEYS
            )
        return value

    def descent(point):
        toward_theta = jax.grad(generator, 0)(*point)
        toward_psi = jax.grad(discriminator, 1)(*point)
        return -jnp.stack([toward_theta, toward_psi])

    return descent


CASES = [
    ({}, 0.0),
    ({"r1": 0.5}, -0.5),
    ({"r1": 1.0}, -1.0),
    ({"r1": 2.0}, -2.0),
    ({"r2": 1.0}, -1.0),
    ({"r1": 0.5, "r2": 0.5}, -1.0),
    ({"zero_centred": 0.5}, -1.0),
]


@pytest.mark.parametrize("loss", PULL)
@pytest.mark.parametrize(("weights", "trace"), CASES)
def test_trace_and_determinant_of_the_game(loss, weights, trace):
    jacobian = np.float64(jax.jacobian(field(loss, weights))(jnp.zeros(2)))
    np.testing.assert_allclose(np.trace(jacobian), trace, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(jacobian), PULL[loss], atol=1e-5)


def test_eigenvalues_that_mescheder_gives():
    """λ = −γ/2 ± √(γ²/4 − f′(0)²): pure circling without R1, damped with it."""
    for loss, weights, want in [
        ("non_saturating", {}, [0.5j, -0.5j]),
        ("relativistic", {}, [0.5j, -0.5j]),
        ("non_saturating", {"r1": 0.5}, [-0.25 + 0.4330127j, -0.25 - 0.4330127j]),
        ("non_saturating", {"r1": 2.0}, [-0.1339746, -1.8660254]),
        ("wgan", {}, [1j, -1j]),
        ("wgan", {"r1": 0.5}, [-0.25 + 0.9682458j, -0.25 - 0.9682458j]),
    ]:
        jacobian = np.float64(jax.jacobian(field(loss, weights))(jnp.zeros(2)))
        found = sorted(np.linalg.eigvals(jacobian), key=lambda v: (-v.imag, -v.real))
        np.testing.assert_allclose(found, want, atol=1e-5)


def test_least_squares_pulls_g_alone_where_d_is_flat():
    """½(ψ·0 − 1)² + ½(ψθ)² and ½(ψθ − 1)²: at (0, 0) D feels nothing, G is pulled by 1.

    λ² = 0: least squares has no centre here, D answers to θ² only.
    """
    jacobian = np.float64(jax.jacobian(field("lsgan", {}))(jnp.zeros(2)))
    np.testing.assert_allclose(jacobian, [[0, 1], [0, 0]], atol=1e-6)


def test_what_real_points_have_none_of_is_no_share_of_theirs():
    """All real points are one: a diversity over theirs would be a NaN in the record."""
    split = dirac.load("test")
    task = Gan().build(model.Model(), Optimizer(), 10, points)
    evaluator = Evaluator(task, dirac, split, split, 10)
    resting, circling = np.zeros((9, 2), np.float32), np.ones((9, 2), np.float32)
    assert evaluator.watched(resting) == {"sample_modes": 1, "sample_quality": 1}
    line = {"step": 5} | evaluator.watched(circling)
    assert line == {"step": 5, "sample_modes": 0, "sample_quality": 0}
    assert health.verdict([line]) == "healthy"  # no collapse: real ones are one, too


@pytest.mark.parametrize("loss", LOSSES)
def test_r1_brings_the_game_to_rest_and_without_it_none_comes(loss):
    """2,000 simultaneous steps of 0.1 from (1, 1)."""

    def distance(weights):
        descent = field(loss, weights)
        end = jax.jit(
            lambda start: jax.lax.fori_loop(
                0, 2_000, lambda _, point: point + 0.1 * descent(point), start
            )
        )(jnp.ones(2))
        return float(jnp.abs(end).max())

    assert distance({"r1": 0.5}) < 1e-9
    assert distance({}) > 0.1
