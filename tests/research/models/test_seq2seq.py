"""Attention and pointer decoders beside loops in float64, and on a task they solve."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from research.errors import UserError
from research.models import (
    attention_lstm,
    baseline_rnn,
    lstm,
    pointer_lstm,
    stacked_lstm,
)

BATCH, TIME, STEPS, HIDDEN, SYMBOLS, UNITS = 3, 5, 4, 4, 6, 3
LENGTHS = np.array([5, 1, 3])
rng = np.random.default_rng(53)
SOURCE = rng.integers(0, SYMBOLS, (BATCH, TIME))
PREVIOUS = rng.integers(0, SYMBOLS, (BATCH, STEPS))
PLACES = rng.integers(-1, 1, (BATCH, STEPS))  # of which there is one in every row
ATTENTION = attention_lstm.Model(HIDDEN, SYMBOLS, attention=UNITS)
POINTER = pointer_lstm.Model(HIDDEN, SYMBOLS, UNITS)
BOTH = pytest.mark.parametrize(
    ("model", "previous"), [(ATTENTION, PREVIOUS), (POINTER, PLACES)]
)


def ready(model, inputs):
    module = model.module()
    shapes = jax.eval_shape(module.init, jax.random.key(0), inputs)
    random = np.random.default_rng(3)
    fill = lambda leaf: random.normal(scale=0.6, size=leaf.shape).astype(np.float32)  # noqa: E731
    return jax.jit(module.apply), jax.tree.map(fill, shapes)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def step(w, x, h, c):
    i, f, g, o = np.split(x @ w["wx"] + h @ w["wh"] + w["b"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def scan(w, xs, h, c):
    found = []
    for x in xs:
        h, c = step(w, x, h, c)
        found.append(h)
    return np.array(found), h, c


def score(w, query, memory):
    joined = query @ w["query"]["kernel"] + memory @ w["memory"]["kernel"]
    return (np.tanh(joined + w["memory"]["bias"]) @ w["score"]["kernel"])[:, 0]


def attention_loop(w, source, previous):
    """The model's equations for one row without padding, in float64."""
    one_hot, zero = np.eye(SYMBOLS), np.zeros(HIDDEN)
    ahead, _, _ = scan(w["encoder"]["forward"], one_hot[source], zero, zero)
    back, h, _ = scan(w["encoder"]["backward"], one_hot[source][::-1], zero, zero)
    memory = np.concatenate([ahead, back[::-1]], 1)
    h, c = np.tanh(h @ w["start"]["kernel"] + w["start"]["bias"]), zero
    logits = []
    for symbol in previous:
        u = score(w["attention"], h, memory)
        weights = np.exp(u) / np.exp(u).sum()
        context = weights @ memory
        h, c = step(w["decoder"], np.r_[one_hot[symbol], context], h, c)
        logits.append(np.r_[h, context] @ w["logits"]["kernel"] + w["logits"]["bias"])
    return np.array(logits)


def pointer_loop(w, source, previous):
    zero = np.zeros(HIDDEN)
    memory, h, c = scan(w["encoder"], np.eye(SYMBOLS)[source], zero, zero)
    fed = [zero if place < 0 else memory[place] for place in previous]
    written, _, _ = scan(w["decoder"], fed, h, c)
    return np.array([score(w["pointer"], d, memory) for d in written])


LOOPS = {"AttentionLstm": attention_loop, "PointerLstm": pointer_loop}


@BOTH
def test_logits_are_the_equations_whatever_the_padding(model, previous):
    apply, variables = ready(model, (SOURCE, previous))
    logits, _ = apply(variables, (SOURCE, previous), lengths=LENGTHS)
    weights = jax.tree.map(np.float64, variables["params"])
    loop = LOOPS[type(model.module()).__name__]
    for row, length in enumerate(LENGTHS):
        want = loop(weights, SOURCE[row, :length], previous[row])
        np.testing.assert_allclose(logits[row, :, : want.shape[1]], want, atol=5e-6)
        if model is POINTER:
            assert (np.asarray(logits[row, :, length:]) == -1e30).all()


@BOTH
def test_gradient_is_the_slope_of_the_loop(model, previous):
    apply, variables = ready(model, (SOURCE, previous))
    cotangent, along = rng.normal(size=(BATCH, STEPS, 6)), np.random.default_rng(5)
    loop = LOOPS[type(model.module()).__name__]
    places = TIME if model is POINTER else SYMBOLS
    cotangent = cotangent[..., :places].astype(np.float32)

    def value(variables):
        return jnp.sum(apply(variables, (SOURCE, previous))[0] * cotangent)

    gradient = jax.grad(value)(variables)["params"]
    params = jax.tree.map(np.float64, variables["params"])
    direction = jax.tree.map(lambda a: along.normal(size=a.shape), params)

    def moved(by):
        there = jax.tree.map(lambda a, d: a + by * d, params, direction)
        rows = [loop(there, *row) for row in zip(SOURCE, previous, strict=True)]
        return np.sum(np.array(rows) * cotangent)

    slope = (moved(1e-6) - moved(-1e-6)) / 2e-6
    leaves = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    got = sum(np.vdot(a, b) for a, b in leaves)
    np.testing.assert_allclose(got, slope, rtol=2e-4)


@BOTH
def test_writing_goes_on_from_the_state(model, previous):
    apply, variables = ready(model, (SOURCE, previous))
    whole, last = apply(variables, (SOURCE, previous), lengths=LENGTHS)
    first, state = apply(variables, (SOURCE, previous[:, :1]), lengths=LENGTHS)
    second, end = apply(variables, (SOURCE, previous[:, 1:]), state=state)
    near = lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6)  # noqa: E731
    near(np.concatenate([first, second], 1), whole)
    jax.tree.map(near, end, last)


def test_the_pointer_learns_to_sort():
    """Six numbers in ascending order: held-out places are right nine times in ten."""
    module = pointer_lstm.Model(32, attention=32).module()
    optimizer = optax.adam(1e-2)

    def batch(key):
        source = jax.random.uniform(key, (128, 6, 1))
        order = jnp.argsort(source[..., 0], axis=1)
        previous = jnp.pad(order[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
        return (source, previous), order

    def loss(variables, key):
        inputs, order = batch(key)
        logits, _ = module.apply(variables, inputs)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, order)
        return losses.mean(), (logits.argmax(-1) == order).mean()

    @jax.jit
    def train(key):
        variables = module.init(key, batch(key)[0])

        def update(carry, key):
            variables, state = carry
            gradient, _ = jax.grad(loss, has_aux=True)(variables, key)
            change, state = optimizer.update(gradient, state)
            return (optax.apply_updates(variables, change), state), None

        start = (variables, optimizer.init(variables))
        keys = jax.random.split(key, 400)
        (variables, _), _ = jax.lax.scan(update, start, keys)
        return loss(variables, jax.random.key(99))[1]

    assert train(jax.random.key(0)) > 0.9


def test_inputs_of_the_other_kind_are_refused():
    pair, one = (SOURCE, PREVIOUS), SOURCE
    wrong = [(ATTENTION, one, "this task gives one sequence: take --model stacked")]
    wrong += [(POINTER, one, "or --task.encoding sorting or addition")]
    for model in (lstm.Model(), stacked_lstm.Model(), baseline_rnn.Model()):
        wrong += [(model, pair, "take --model attention_lstm or pointer_lstm")]
    for model, inputs, said in wrong:
        with pytest.raises(UserError, match=said):
            jax.eval_shape(model.module().init, jax.random.key(0), inputs)
