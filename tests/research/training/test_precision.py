"""bfloat16 inside the networks alone: near float32's step, and float32 outside."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.experiment import Data, Experiment, Training
from research.models import (
    attention_lstm,
    baseline_rnn,
    lstm,
    pointer_lstm,
    recurrent_pair,
    seed_pair,
    stacked_lstm,
    text_pair,
    transformer,
)
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


TOKENS = jax.ShapeDtypeStruct((2, 6), jnp.int32)
FLOATS = jax.ShapeDtypeStruct((2, 6, 3), jnp.float32)
STACK = functools.partial(stacked_lstm.Model, hidden=8, classes=5, backend="xla")
# A model, and its products outside of the recurrence: the logits.
RECURRENT = {
    "lstm": (STACK(layers=1), 1),
    "stacked": (STACK(projection=3, peephole=True, dropout=0.1), 1),
    "normalised": (STACK(layer_norm=True, projection=3, recurrent_dropout=0.1), 1),
    "zoneout": (STACK(zoneout_h=0.1, zoneout_c=0.1, weight_dropout=0.1), 1),
    "bidirectional": (STACK(bidirectional=True, variational=True, dropout=0.1), 1),
    "gru": (baseline_rnn.Model("gru", hidden=8, layers=2), 1),
    "tanh": (baseline_rnn.Model("tanh", hidden=8), 1),
}
PAIRS = {
    "recurrent_pair": recurrent_pair.Model((6, 3), 8, layers=2, bidirectional=True),
    "text_pair": text_pair.Model(6, 8, symbols=5),
}
NETWORKS = {
    **{name: (model.module(), TOKENS) for name, (model, _) in RECURRENT.items()},
    "transformer": (transformer.Model(8, 1, 2, 4).module(), TOKENS),
    "attention": (attention_lstm.Model(8, backend="xla").module(), (TOKENS, TOKENS)),
    "pointer": (pointer_lstm.Model(8, backend="xla").module(), (FLOATS, TOKENS)),
    **{
        name: (pair.generator(), jax.ShapeDtypeStruct((2, pair.latent), jnp.float32))
        for name, pair in PAIRS.items()
    },
}


def lowered(module, wrapped, inputs):
    """The products of a network's program, as StableHLO has them."""
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    variables = jax.eval_shape(lambda x: module.init(keys, x, train=True), inputs)
    apply = functools.partial(wrapped.apply, train=True, rngs=keys)
    text = jax.jit(apply).lower(variables, inputs).as_text()
    return [line for line in text.splitlines() if "stablehlo.dot_general" in line]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_over_sequences_multiplies_bfloat16_throughout(name):
    """One-hot inputs, zero states and positions begin as float32."""
    module, inputs = NETWORKS[name]
    for line in lowered(module, Network(module), inputs):
        factors = re.search(r": \((.*)\) ->", line)
        assert factors
        assert "f32" not in factors[1].replace("bf16", ""), line


@pytest.mark.parametrize("name", RECURRENT)
def test_what_adds_up_over_time_is_exact_float32_on_any_device(name):
    """A TPU or GPU would shorten the factors; of the logits it may."""
    model, outside = RECURRENT[name]
    made = lowered(model.module(), model.module(), TOKENS)
    exact = [line for line in made if "precision = [HIGHEST, HIGHEST]" in line]
    assert len(made) - len(exact) == outside
    assert len(exact) >= 2
