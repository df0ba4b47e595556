"""The Dirac-GAN's players in the project's own step: one step by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from research.data import dirac as data
from research.media import points
from research.models import dirac
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.training.axes import BATCH


def test_a_simultaneous_step_from_the_start():
    """θ' = θ + η σ(−ψθ) ψ and ψ' = ψ − η (σ(ψθ) θ + γψ), with ψ·θ = 0 at first."""
    config = Gan(penalties={"r1": 0.5}, order="simultaneous")
    task = config.build(dirac.Model(), Optimizer("sgd", 0.1, beta1=0.0), 9, points)
    positions = jnp.arange(4, dtype=jnp.uint32)
    arrays = data.load("train").arrays
    batch = data.batch(arrays, 0, positions) | {"position": positions}
    np.testing.assert_array_equal(batch["point"], np.zeros((4, 2)))
    state = task.init(jax.random.key(0), batch)
    step = jax.vmap(task.step, (None, 0, None), axis_name=BATCH)
    new, _ = step(state, jax.tree.map(lambda a: a[None], batch), jax.random.key(1))
    theta, psi = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    got = new.generator.params["theta"][0], new.discriminator.params["psi"][0]
    np.testing.assert_allclose(got[0], theta + 0.1 * 0.5 * psi, rtol=1e-6)
    want = psi - 0.1 * (0.5 * theta + 0.5 * psi)
    np.testing.assert_allclose(got[1], want, rtol=1e-6)
