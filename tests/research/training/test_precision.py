"""bfloat16 inside the networks alone: near float32's step, and float32 outside."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.experiment import Data, Experiment, Training
from research.models import lstm, seed_pair
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.tasks.supervised import Supervised
from research.training import job as jobs
from research.training.axes import BATCH
from research.training.precision import Network

SGD = Optimizer("sgd", 1.0, beta1=0.0)  # an update is the gradient
BASE = Experiment(
    steps=4,
    batch_size=8,
    data=Data("digits"),
    model=lstm.Model(hidden=8),
    task=Supervised(),
    optimizer=SGD,
)
JOBS = {
    "lstm": BASE,
    # BatchNorm in G, and the gradient of a gradient in D
    "gan": dataclasses.replace(
        BASE,
        model=seed_pair.Model(width=2, latent=4, channels=1),
        task=Gan("relativistic", {"r1": 1.0}),
    ),
}


@pytest.fixture(scope="module", params=JOBS)
def steps(request):
    """By precision: the program, and state before and after one step."""
    found = {}
    for compute in ("float32", "bfloat16"):
        settings = dataclasses.replace(
            JOBS[request.param], training=Training(compute=compute)
        )
        job = jobs.prepare(request.param, settings)
        step = jax.vmap(
            jobs.step_function(job, 1), (None, None), axis_name=BATCH, axis_size=1
        )
        state = jax.jit(lambda job=job: jobs.initial_state(job))()
        program = str(jax.make_jaxpr(step)(state, job.train.arrays))
        after, metrics = jax.jit(step)(state, job.train.arrays)
        found[compute] = program, state, jax.tree.map(lambda leaf: leaf[0], after)
        assert all(np.isfinite(value).all() for value in metrics.values())
    return found


def products(program):
    """The dtypes of all matrix products and convolutions."""
    made = r"(\w+)\[[\d,]*\] = (?:dot_general|conv_general_dilated)"
    return set(re.findall(made, program))


def test_products_are_of_bfloat16_and_all_that_is_kept_of_float32(steps):
    assert products(steps["float32"][0]) == {"f32"}
    assert "bf16" in products(steps["bfloat16"][0])
    _, before, after = steps["bfloat16"]
    for old, new in zip(*map(jax.tree.leaves, (before, after)), strict=True):
        assert new.dtype == old.dtype != jnp.bfloat16


def test_a_step_is_near_that_of_float32_and_not_the_same(steps):
    """Rounding of 2⁻⁹ a number: the whole update within 10 % in its length.

    Most of that is in biases: a CPU sums their gradients in bfloat16.
    """
    updates = []
    for compute in ("float32", "bfloat16"):
        _, before, after = steps[compute]
        pairs = zip(*map(jax.tree.leaves, (before, after)), strict=True)
        moved = [np.ravel(new - old) for old, new in pairs if new.dtype == np.float32]
        updates.append(np.concatenate(moved))
    wide, narrow = updates
    apart = np.linalg.norm(narrow - wide) / np.linalg.norm(wide)
    assert 1e-5 < apart < 0.1


def test_a_state_goes_back_into_the_network():
    """As it does where samples are drawn; c stays float32."""
    net = BASE.model.module()
    x = jnp.ones((2, 3, 28))
    variables = net.init(jax.random.key(0), x)
    rounded = Network(net)
    outputs, state = rounded.apply(variables, x)
    again, _ = rounded.apply(variables, x, state=state)
    assert outputs.dtype == state.h.dtype == state.c.dtype == jnp.float32
    want, wide = net.apply(variables, x)
    np.testing.assert_allclose(outputs, want, atol=0.03)
    np.testing.assert_allclose(again, net.apply(variables, x, state=wide)[0], atol=0.03)
    # c is not rounded: few of its numbers are bfloat16's.
    assert (state.c.astype(jnp.bfloat16) != state.c).mean() > 0.5
    assert (state.h.astype(jnp.bfloat16) == state.h).all()
