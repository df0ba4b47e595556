"""What `lstm` promises about lengths, resets, order and state, on every backend."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import LstmState, LstmWeights, lstm, lstm_cell
from kernels.lstm.cases import Shape, tagged
from kernels.lstm.dispatch import able

CASES = {case.name: case for case in tagged("test")}
BACKENDS = [*able(CASES["odd"].case()), "kernels.lstm.interpreted"]
BACKENDS += os.environ.get("FORK_BACKENDS", "").split()  # `launch/run test --fork`


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def ready(oracle, case: Shape):
    p = oracle.problem(case, "float32")
    return p, *oracle.on_device(p, "float32")


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_padding_may_hold_anything(backend, oracle):
    p, arrays, cotangents = ready(oracle, CASES["ragged"])
    run = oracle.compiled(p, backend=backend)
    padding = np.arange(p.shape.time) >= p.lengths[:, None]
    poisoned = jnp.where(padding[..., None], jnp.nan, arrays.x)
    clean = run(arrays, cotangents)
    same(run(arrays._replace(x=poisoned), cotangents), clean)
    outputs, gradient = clean
    assert not np.asarray(outputs.y)[padding].any()
    assert not np.asarray(gradient.x)[padding].any()


def test_length_zero_passes_state_and_gradient_through(backend, oracle):
    p, arrays, cotangents = ready(oracle, CASES["ragged"])
    row = int(np.flatnonzero(p.lengths == 0)[0])
    outputs, gradient = oracle.compiled(p, backend=backend)(arrays, cotangents)
    same(
        (outputs.h[row], outputs.c[row]),
        jax.tree.map(lambda a: a[row], tuple(arrays.state)),
    )
    same(gradient.state.h[row], cotangents.h[row])
    same(gradient.state.c[row], cotangents.c[row])


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_two_halves_are_the_whole(backend, reverse, oracle):
    _, arrays, _ = ready(oracle, CASES["reversed"])
    x, weights, state, _ = arrays
    options = {"reverse": reverse, "backend": backend}
    y, last = lstm(x, weights, state, **options)
    cut = slice(2, None) if reverse else slice(None, 2)
    rest = slice(None, 2) if reverse else slice(2, None)
    first, between = lstm(x[:, cut], weights, state, **options)
    second, end = lstm(x[:, rest], weights, between, **options)
    # Another number of rows may make the GEMM of x sum in another order.
    oracle.near((first, second, end), (y[:, cut], y[:, rest], last), 2e-7)


def test_a_reset_begins_another_sequence(backend, oracle):
    _, arrays, _ = ready(oracle, CASES["odd"])
    x, weights, state, _ = arrays
    resets = jnp.zeros(x.shape[:2], bool).at[:, 4].set(True)
    y, last = lstm(x, weights, state, resets=resets, backend=backend)
    before, _ = lstm(x[:, :4], weights, state, backend=backend)
    after, end = lstm(x[:, 4:], weights, backend=backend)
    oracle.near((y[:, :4], y[:, 4:], last), (before, after, end), 2e-7)


def test_reverse_is_the_flip_of_each_row(backend, oracle):
    p, arrays, _ = ready(oracle, CASES["ragged"])
    x, weights, state, _ = arrays
    lengths, time = jnp.asarray(p.lengths), p.shape.time
    steps = np.arange(time)
    index = np.where(steps < p.lengths[:, None], p.lengths[:, None] - 1 - steps, steps)
    flip = lambda a: jnp.take_along_axis(a, jnp.asarray(index)[..., None], 1)  # noqa: E731
    y, last = lstm(x, weights, state, lengths=lengths, reverse=True, backend=backend)
    other, end = lstm(flip(x), weights, state, lengths=lengths, backend=backend)
    oracle.near((y, last), (flip(other), end), 2e-7)


def test_time_major_is_only_another_order_of_axes(backend, oracle):
    p, arrays, _ = ready(oracle, CASES["masked"])
    x, weights, state, h_mask = arrays
    options = {"lengths": jnp.asarray(p.lengths), "h_mask": h_mask, "backend": backend}
    resets = jnp.asarray(p.resets)
    y, last = lstm(x, weights, state, resets=resets, **options)
    swapped, end = lstm(
        x.swapaxes(0, 1), weights, state, resets=resets.T, time_major=True, **options
    )
    same((swapped.swapaxes(0, 1), end), (y, last))


@pytest.mark.parametrize("policy", ["store", "recompute", "checkpoint"])
def test_no_steps_at_all(backend, policy, oracle):
    p, arrays, cotangents = ready(oracle, Shape("no_steps", 0, 3, 2, 4))
    run = oracle.compiled(p, backend=backend, residuals=policy)
    outputs, gradient = run(arrays, cotangents)
    assert outputs.y.shape == (3, 0, 4)
    same((outputs.h, outputs.c), tuple(arrays.state))
    same(tuple(gradient.state), (cotangents.h, cotangents.c))
    assert not any(np.asarray(g).any() for g in jax.tree.leaves(gradient.weights))


@pytest.mark.parametrize("policy", ["store", "checkpoint"])
def test_no_rows_at_all(backend, policy, oracle):
    p, arrays, cotangents = ready(oracle, Shape("no_rows", 3, 0, 2, 4))
    run = oracle.compiled(p, backend=backend, residuals=policy)
    outputs, gradient = run(arrays, cotangents)
    assert outputs.y.shape == (0, 3, 4)
    assert not any(np.asarray(g).any() for g in jax.tree.leaves(gradient.weights))


def test_twice_the_same_call_is_the_same_to_the_bit(backend, oracle):
    p, arrays, cotangents = ready(oracle, CASES["masked"])
    first = oracle.compiled(p, backend=backend)(arrays, cotangents)
    same(oracle.compiled(p, backend=backend)(arrays, cotangents), first)


def test_rows_do_not_see_each_other(backend, oracle):
    _, arrays, _ = ready(oracle, CASES["odd"])
    x, weights, state, _ = arrays
    order = jnp.array([2, 0, 1])
    y, _ = lstm(x, weights, state, backend=backend)
    turned = LstmState(state.h[order], state.c[order])
    other, _ = lstm(x[order], weights, turned, backend=backend)
    oracle.near(other, y[order], 2e-7)


@pytest.mark.parametrize("size", [50.0, 1e4])
def test_saturated_gates_give_no_nan(backend, size):
    x = jnp.array([[[1.0], [-1.0], [1.0], [-1.0]]]) * size
    weights = LstmWeights(jnp.ones((1, 8)), jnp.ones((2, 8)), jnp.zeros(8))

    def total(x, weights):
        y, last = lstm(x, weights, backend=backend)
        return y.sum() + last.c.sum()

    y, _ = lstm(x, weights, backend=backend)
    np.testing.assert_allclose(
        y[0, :, 0], np.tanh([1, 0, 1, 0]) * [1, 0, 1, 0], atol=1e-6
    )
    gradient = jax.grad(total, (0, 1))(x, weights)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


def test_bfloat16_cell_counts_for_long(backend):
    """f = i = 1 and a small g: c grows by 0.01 a step, which bfloat16 would lose."""
    b = jnp.array([30.0, 30.0, 0.01, 0.0], "bfloat16")
    none = jnp.zeros((1, 4), "bfloat16")
    x = jnp.zeros((1, 2000, 1), "bfloat16")
    if backend == "native":
        pytest.skip("float32 only")
    _, last = lstm(x, LstmWeights(none, none, b), backend=backend)
    g = np.tanh(float(b[2]))
    np.testing.assert_allclose(last.c, [[2000 * g]], rtol=5e-3)


def test_the_cell_is_one_step_of_the_sequence(oracle):
    _, arrays, _ = ready(oracle, CASES["everything"])
    x, weights, state, h_mask = arrays
    want, last = lstm(x[:, :1], weights, state, h_mask=h_mask, backend="reference")
    h, after = lstm_cell(x[:, 0], state, weights, h_mask=h_mask)
    oracle.near((h, after), (want[:, 0], last), 2e-7)
    same(h, after.h)


def test_forward_mode_on_the_reference(oracle):
    p, arrays, cotangents = ready(oracle, CASES["odd"])
    x, weights, state, _ = arrays

    def value(x):
        y, last = lstm(x, weights, state, backend="reference")
        return jnp.vdot(y, cotangents.y) + jnp.vdot(last.h, cotangents.h)

    direction = jnp.cos(jnp.arange(x.size, dtype="float32")).reshape(x.shape)
    _, slope = jax.jvp(value, (x,), (direction,))
    exact = cotangents._replace(c=jnp.zeros_like(cotangents.c))
    gradient = oracle.gradient(p, jax.tree.map(np.asarray, exact)).x
    np.testing.assert_allclose(slope, np.vdot(gradient, direction), rtol=1e-5)


@pytest.mark.parametrize("policy", ["store", "recompute", "checkpoint"])
def test_memory_kept_for_the_gradient_follows_the_policy(policy):
    """Bytes that live between forward and backward, told by their shapes."""
    time, hidden, blocks = 64, 5, 8  # 8 = √64
    weights = LstmWeights(
        jnp.ones((3, 4 * hidden)), jnp.ones((hidden, 4 * hidden)), jnp.ones(4 * hidden)
    )
    x = jnp.ones((2, time, 3))

    def rule(x, weights):
        return jax.vjp(lambda *a: lstm(*a, residuals=policy), x, weights)[1]

    sizes = [leaf.size for leaf in jax.tree.leaves(jax.eval_shape(rule, x, weights))]
    gates, states = 2 * time * 4 * hidden, 2 * time * hidden
    largest = {"store": gates, "recompute": states, "checkpoint": x.size}
    assert max(sizes) == largest[policy]
    if policy == "checkpoint":  # h and c where each block begins
        assert sizes.count(blocks * 2 * hidden) == 2
