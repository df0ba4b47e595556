"""Each optimizer against its equations in float64 numpy."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.optimizers import Optimizer

STEPS = 12
RATE = 0.03


@pytest.fixture
def problem():
    """Start values and a gradient for each step, in two leaves of uneven size."""
    rng = np.random.default_rng(5)
    start = {"a": rng.normal(size=(3, 2)), "b": rng.normal(size=4)}
    gradients = [
        {n: rng.normal(scale=10.0 ** rng.integers(-3, 3), size=v.shape) for n, v in
         start.items()}
        for _ in range(STEPS)
    ]  # fmt: skip
    return start, gradients


def run(optimizer, start, gradients, steps=STEPS):
    """Parameters after each step, by the optimizer as the tasks use it."""
    transformation = optimizer.build(steps)
    params = jax.tree.map(jnp.float32, start)
    state = transformation.init(params)
    path = []
    for gradient in gradients:
        gradient = jax.tree.map(jnp.float32, gradient)
        updates, state = transformation.update(gradient, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        path.append(jax.tree.map(np.asarray, params))
    return path


def follow(rule, start, gradients):
    """Parameters after each step, by `rule(step, name, value, gradient)` in float64."""
    values, path = {n: np.array(v) for n, v in start.items()}, []
    for step, gradient in enumerate(gradients):
        values = {n: rule(step, n, v, gradient[n]) for n, v in values.items()}
        path.append(values)
    return path


def check(got, want):
    for ours, theirs in zip(got, want, strict=True):
        for name in theirs:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-5, atol=2e-6)


def adam(b1, b2, epsilon, decay=0.0):
    """Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2."""
    mean, square = {}, {}

    def rule(step, name, value, gradient):
        mean[name] = b1 * mean.get(name, 0) + (1 - b1) * gradient
        square[name] = b2 * square.get(name, 0) + (1 - b2) * gradient**2
        m = mean[name] / (1 - b1 ** (step + 1))
        v = square[name] / (1 - b2 ** (step + 1))
        return value - RATE * (m / (np.sqrt(v) + epsilon) + decay * value)

    return rule


def test_adam(problem):
    optimizer = Optimizer("adam", RATE, beta1=0.5, beta2=0.9, epsilon=1e-3)
    check(run(optimizer, *problem), follow(adam(0.5, 0.9, 1e-3), *problem))


def test_adam_with_decoupled_weight_decay(problem):
    optimizer = Optimizer("adam", RATE, weight_decay=0.1)
    check(run(optimizer, *problem), follow(adam(0.9, 0.999, 1e-7, 0.1), *problem))


def test_rmsprop(problem):
    """Tieleman & Hinton 2012: the mean of squares starts at 0, nothing corrects it."""
    square = {}

    def rule(step, name, value, gradient):
        square[name] = 0.8 * square.get(name, 0) + 0.2 * gradient**2
        return value - RATE * gradient / (np.sqrt(square[name]) + 1e-3)

    optimizer = Optimizer("rmsprop", RATE, decay=0.8, epsilon=1e-3)
    check(run(optimizer, *problem), follow(rule, *problem))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_with_momentum(problem, momentum):
    """Polyak 1964, with the learning rate outside of the velocity."""
    velocity = {}

    def rule(step, name, value, gradient):
        velocity[name] = momentum * velocity.get(name, 0) + gradient
        return value - RATE * velocity[name]

    optimizer = Optimizer("sgd", RATE, beta1=momentum)
    check(run(optimizer, *problem), follow(rule, *problem))


def scaled(gradients, factor):
    """Each step's gradient times a function of its norm over all leaves."""
    found = []
    for gradient in gradients:
        norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
        found.append({n: g * factor(norm) for n, g in gradient.items()})
    return found


def test_clipping_bounds_the_norm_over_all_leaves(problem):
    start, gradients = problem
    clipped = scaled(gradients, lambda norm: min(1.0, 2.0 / norm))
    shrunk = sum(
        c["b"][0] != g["b"][0] for c, g in zip(clipped, gradients, strict=True)
    )
    assert 0 < shrunk < STEPS
    optimizer = Optimizer("sgd", RATE, beta1=0.0, clip_norm=2.0)
    check(
        run(optimizer, start, gradients),
        follow(lambda _, name, value, g: value - RATE * g, start, clipped),
    )


def test_normalising_gives_the_gradient_norm_one(problem):
    start, gradients = problem
    optimizer = Optimizer("sgd", RATE, beta1=0.0, normalize=True)
    unit = scaled(gradients, lambda norm: 1 / norm)
    check(
        run(optimizer, start, gradients),
        follow(lambda _, name, value, g: value - RATE * g, start, unit),
    )


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
def test_a_gradient_of_zero_moves_nothing(problem, name):
    start, gradients = problem
    zero = [jax.tree.map(np.zeros_like, g) for g in gradients]
    optimizer = Optimizer(name, RATE, clip_norm=1.0, normalize=True)
    for params in run(optimizer, start, zero):
        for leaf in start:
            np.testing.assert_array_equal(params[leaf], np.float32(start[leaf]))


def rates(schedule, steps):
    """The learning rate of each step, seen by plain descent on a slope of −1."""
    optimizer = Optimizer("sgd", 1.0, schedule, beta1=0.0)
    path = run(optimizer, {"x": 0.0}, [{"x": -1.0}] * (steps + 1), steps)
    return np.diff([0.0, *(float(p["x"]) for p in path)])


def test_constant_schedule():
    np.testing.assert_allclose(rates("constant", 10), 1.0, rtol=1e-5)


def test_cosine_falls_from_the_whole_rate_to_nothing():
    """Loshchilov & Hutter 2017, eq. 5, one period."""
    want = 0.5 * (1 + np.cos(np.pi * np.arange(101) / 100))
    np.testing.assert_allclose(rates("cosine", 100), want, atol=1e-5)


def test_one_cycle_rises_for_three_tenths_and_falls_to_nearly_nothing():
    found = rates("one_cycle", 100)
    rise = 0.5 * (1 - np.cos(np.pi * np.arange(31) / 30))
    np.testing.assert_allclose(found[:31], 0.04 + 0.96 * rise, atol=1e-5)
    fall = 0.5 * (1 + np.cos(np.pi * np.arange(71) / 70))
    np.testing.assert_allclose(found[30:], fall, atol=1e-5)


def test_zaremba_holds_six_epochs_of_39_and_then_divides_by_1_2_in_each():
    """The medium model: lr_decay ** max(epoch + 1 − 6, 0), epochs from 0."""
    want = [1.2 ** -max(epoch + 1 - 6, 0) for epoch in range(39) for _ in range(3)]
    np.testing.assert_allclose(rates("zaremba", 117)[:117], want, atol=1e-5)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "zaremba"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_run_of_few_steps_has_finite_rates(schedule, steps):
    found = rates(schedule, steps)[:steps]
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 1 + 1e-6).all()
    assert found.max() > 0


@pytest.mark.parametrize(
    ("field", "below", "above"),
    [
        ("learning_rate", -0.1, math.inf),
        ("beta1", -0.1, 1.0),
        ("beta2", -0.1, 1.0),
        ("decay", -0.1, 1.0),
        ("epsilon", -1e-9, math.nan),
        ("weight_decay", -0.1, math.inf),
        ("clip_norm", 0.0, math.nan),
    ],
)
def test_what_no_run_could_mean_is_refused(field, below, above):
    """Adam of beta1 = 1 divides 0 by 0 and moves nothing; a clip to 0 as well."""
    flag = field.replace("_", "-")
    for value in (below, above):
        wrong = dataclasses.replace(Optimizer(), **{field: value})
        with pytest.raises(UserError, match=rf"^--optimizer.{flag} is {value}: "):
            wrong.build(10)
