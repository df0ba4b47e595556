"""Minibatch discrimination against its formula, on one device and on several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.media import points
from research.models import mlp
from research.models._minibatch import MinibatchDiscrimination
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.training.axes import BATCH

LAYER = MinibatchDiscrimination(kernels=3, dimensions=2)
FEATURES = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)


def closeness(features, tensor):
    """oᵢb = Σ_{j≠i} exp(−‖Mᵢb − Mⱼb‖₁), Salimans 2016, in float64."""
    m = np.einsum("bf,fkd->bkd", np.float64(features), np.float64(tensor))
    found = np.zeros(m.shape[:2])
    for i in range(len(m)):
        for j in range(len(m)):
            if i != j:
                found[i] += np.exp(-np.abs(m[i] - m[j]).sum(-1))
    return found


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_closeness_is_to_all_samples_of_all_devices(ranks):
    variables = LAYER.init(jax.random.key(0), FEATURES)
    shares = FEATURES.reshape(ranks, -1, 4)
    apply = jax.vmap(lambda x: LAYER.apply(variables, x), axis_name=BATCH)
    got = np.asarray(apply(shares)).reshape(6, -1)
    np.testing.assert_array_equal(got[:, :4], FEATURES)
    want = closeness(FEATURES, variables["params"]["kernel"])
    np.testing.assert_allclose(got[:, 4:], want, rtol=1e-5)


def test_a_penalty_is_refused_beside_it():
    model = mlp.Model(hidden=4, minibatch_kernels=2)
    task = Gan(penalties={"wgan_gp": 10.0}).build(model, Optimizer(), 10, points)
    batch = {"point": jnp.zeros((4, 2)), "position": jnp.arange(4)}
    with pytest.raises(UserError, match="with minibatch discrimination in D"):
        task.init(jax.random.key(0), batch)
