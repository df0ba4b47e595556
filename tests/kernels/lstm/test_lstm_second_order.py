"""Gradients of gradients, and vmap, through every backend."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from kernels import LstmState, lstm
from kernels.lstm.cases import tagged
from kernels.lstm.dispatch import able

CASES = {case.name: case for case in tagged("test")}
BACKENDS = able(CASES["everything"].case())
FAST = [name for name in BACKENDS if name != "reference"]


def penalty_of(value):
    """‖gradient‖² as a function of the same arrays: R1 and WGAN-GP in one."""

    def penalty(*arrays):
        leaves = jax.tree.leaves(jax.grad(value, tuple(range(len(arrays))))(*arrays))
        return sum(jnp.sum(leaf**2) for leaf in leaves)

    return penalty


def weighed(p, cotangents, **options):
    options = p.options() | options

    def value(arrays):
        x, weights, state, h_mask = arrays
        y, last = lstm(x, weights, state, h_mask=h_mask, **options)
        outputs = (y, last.h, last.c)
        pairs = zip(outputs, cotangents, strict=True)
        return sum(jnp.vdot(jnp.asarray(a), b) for a, b in pairs)

    return value


@pytest.mark.parametrize(
    ("backend", "policy", "case"),
    [
        *((backend, "store", "everything") for backend in BACKENDS),
        *((backend, "recompute", "everything_reversed") for backend in FAST),
        *((backend, "checkpoint", "ragged") for backend in FAST),
    ],
)
def test_gradient_of_the_gradient_norm(backend, policy, case, oracle):
    """Against the slope of the oracle's hand-written gradient norm."""
    p = oracle.problem(CASES[case])

    def norm(step: float) -> float:
        moved = jax.tree.map(lambda a, d: a + step * d, p.arrays, along)
        gradient = oracle.gradient(p._replace(arrays=moved), p.cotangents)
        return sum(float((g**2).sum()) for g in jax.tree.leaves(gradient))

    with jax.enable_x64(True):
        arrays, cotangents = oracle.on_device(p, "float64")
        value = weighed(p, cotangents, backend=backend, residuals=policy)
        second = oracle.quickly(jax.grad(penalty_of(value)))(arrays)
    random = np.random.default_rng(5)
    for _ in range(3):
        along = jax.tree.map(lambda a: random.normal(size=a.shape), p.arrays)
        slope = (norm(1e-5) - norm(-1e-5)) / 2e-5
        pairs = zip(jax.tree.leaves(second), jax.tree.leaves(along), strict=True)
        got = sum(np.vdot(a, b) for a, b in pairs)
        assert abs(got - slope) < 1e-7 * (1 + abs(slope))


@pytest.mark.parametrize("backend", FAST)
def test_second_order_inside_a_scan_of_layers(backend, oracle):
    """Stacked layers are a lax.scan over weights; a critic differentiates it twice."""
    p = oracle.problem(CASES["ragged"], "float32")
    (x, weights, state, _), _ = oracle.on_device(p, "float32")
    x = jnp.tile(x, (1, 1, 2))[..., : p.shape.hidden]
    wx = jnp.stack([weights.wh, -weights.wh])
    resets = jnp.asarray(np.random.default_rng(0).random(x.shape[:2]) < 0.3)
    lengths = jnp.asarray(p.lengths)

    def critic(backend):
        def value(x, wx):
            def layer(x, wx):
                layered = weights._replace(wx=wx)
                y, last = lstm(
                    x, layered, state, lengths=lengths, resets=resets, backend=backend
                )
                return y, last.c

            y, c = lax.scan(layer, x, wx)
            return jnp.sum(y**3) + jnp.sum(c**2)

        return oracle.quickly(jax.grad(penalty_of(value), (0, 1)))

    oracle.near(critic(backend)(x, wx), critic("reference")(x, wx), relative=1e-5)


AXES = {
    "x": (0, None, 0),
    "weights": (None, 0, None),
    "both": (0, 0, 0),
}


@pytest.mark.parametrize("mapped", AXES)
@pytest.mark.parametrize("backend", FAST)
def test_vmap_is_a_loop(backend, mapped, oracle):
    p = oracle.problem(CASES["ragged"], "float32")
    (x, weights, state, _), cotangents = oracle.on_device(p, "float32")
    axes = AXES[mapped]
    many = [
        jax.tree.map(lambda a: jnp.stack([a, 0.5 * a]), tree) if axis == 0 else tree
        for tree, axis in zip((x, weights, state), axes, strict=True)
    ]
    options = p.options() | {"backend": backend}

    def value(x, weights, state):
        y, last = lstm(x, weights, LstmState(*state), **options)
        return jnp.vdot(y, cotangents.y) + jnp.vdot(last.c, cotangents.c)

    def results(*arrays):
        first = jax.value_and_grad(value, (0, 1, 2))(*arrays)
        return first, jax.grad(penalty_of(value), (0, 1, 2))(*arrays)

    got = oracle.quickly(jax.vmap(results, axes))(*many)
    one = oracle.quickly(results)
    for i in range(2):
        alone = [
            jax.tree.map(lambda a: a[i], tree) if axis == 0 else tree  # noqa: B023
            for tree, axis in zip(many, axes, strict=True)
        ]
        oracle.near(jax.tree.map(lambda a: a[i], got), one(*alone), relative=2e-5)  # noqa: B023
