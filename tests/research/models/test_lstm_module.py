"""The article's LSTM module: its parameters, their start, and its values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import LstmState
from research.errors import UserError
from research.models.lstm import Lstm, Model, SequenceClassifier

BATCH, TIME, FEATURES, HIDDEN, CLASSES = 3, 6, 5, 4, 7


@pytest.fixture(scope="module")
def network():
    """A small classifier, variables whose every leaf matters, and inputs."""
    module = SequenceClassifier(HIDDEN, CLASSES)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, TIME, FEATURES)).astype(np.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    variables = jax.tree.map(
        lambda leaf: rng.normal(scale=0.6, size=leaf.shape).astype(np.float32), shapes
    )
    return module, variables, x


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loop(weights, x, h, c):
    """The equations of the article, gates i, f, g, o, one step after another."""
    wx, wh, b = (np.float64(weights[name]) for name in ("wx", "wh", "b"))
    outputs = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(np.float64(x[:, t]) @ wx + h @ wh + b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, 1), h, c


def test_parameters_of_the_article_s_size():
    """4·128·(28 + 128 + 1) of the LSTM and 128·10 + 10 of the Dense layer."""
    x = jnp.zeros((1, 28, 28))
    variables = jax.eval_shape(
        lambda: Model(hidden=128).module().init(jax.random.key(0), x, train=False)
    )
    params = variables["params"]
    shapes = jax.tree.map(lambda leaf: leaf.shape, params)
    assert shapes == {
        "Lstm_0": {"wx": (28, 512), "wh": (128, 512), "b": (512,)},
        "Dense_0": {"kernel": (128, 10), "bias": (10,)},
    }
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 80_384 + 1_290


def test_initial_values_are_keras():
    variables = jax.jit(Lstm(32).init)(jax.random.key(4), jnp.zeros((1, 2, 28)))
    weights = jax.tree.map(np.asarray, variables["params"])
    # Gate columns i, f, g, o: the forget gate's are the second quarter.
    np.testing.assert_array_equal(weights["b"], np.repeat([0, 1, 0, 0], 32))
    np.testing.assert_allclose(weights["wh"] @ weights["wh"].T, np.eye(32), atol=1e-5)
    bound = np.sqrt(6 / (28 + 4 * 32))
    assert 0.99 * bound < np.abs(weights["wx"]).max() <= bound


def test_output_and_states_are_those_of_the_equations(network):
    _, variables, x = network
    weights = variables["params"]["Lstm_0"]
    output, h, c = Lstm(HIDDEN).apply({"params": weights}, x)
    assert output.shape == (BATCH, TIME, HIDDEN)
    zeros = np.zeros((BATCH, HIDDEN))
    want_output, want_h, want_c = loop(weights, x, zeros, zeros)
    np.testing.assert_allclose(output, want_output, atol=1e-6)
    np.testing.assert_allclose(h, want_h, atol=1e-6)
    np.testing.assert_allclose(c, want_c, atol=1e-6)
    np.testing.assert_array_equal(h, output[:, -1])


@pytest.mark.parametrize("backend", [None, "reference"])
def test_logits_are_a_dense_layer_at_every_step(network, backend):
    _, variables, x = network
    params = variables["params"]
    start = np.random.default_rng(2).normal(size=(2, BATCH, HIDDEN))
    state = LstmState(*map(jnp.float32, start))
    module = SequenceClassifier(HIDDEN, CLASSES, backend)
    logits, last = module.apply(variables, x, state=state)
    output, h, c = loop(params["Lstm_0"], x, *start)
    dense = jax.tree.map(np.float64, params["Dense_0"])
    want = output @ dense["kernel"] + dense["bias"]
    assert logits.shape == (BATCH, TIME, CLASSES)
    np.testing.assert_allclose(logits, want, atol=2e-6)
    np.testing.assert_allclose(last.h, h, atol=1e-6)
    np.testing.assert_allclose(last.c, c, atol=1e-6)


def test_step_by_step_equals_the_whole_sequence(network):
    """What drawing relies on: the state carries everything from step to step."""
    module, variables, x = network
    whole, last = module.apply(variables, x)
    state, step = module.start(BATCH), jax.jit(module.apply)
    for t in range(TIME):
        logits, state = step(variables, x[:, t : t + 1], state=state)
        np.testing.assert_allclose(logits[:, 0], whole[:, t], atol=1e-6)
    np.testing.assert_allclose(state.c, last.c, atol=1e-6)


def test_the_start_is_the_zero_state(network):
    module, variables, x = network
    start = module.start(BATCH)
    assert start.h.shape == start.c.shape == (BATCH, HIDDEN)
    assert not start.h.any()
    assert not start.c.any()
    with_start, _ = module.apply(variables, x, state=start)
    np.testing.assert_array_equal(with_start, module.apply(variables, x)[0])


def test_symbols_are_refused(network):
    module, variables, x = network
    with pytest.raises(UserError, match=r"reads vectors, .*take --model stacked_"):
        module.apply(variables, x[..., 0].astype(int))
