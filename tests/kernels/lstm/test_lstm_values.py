"""Every backend, residual policy and dtype against the oracle."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import lstm
from kernels.lstm import cell
from kernels.lstm.cases import tagged
from kernels.lstm.dispatch import able
from kernels.lstm.spec import POLICIES

CASES = tagged("test")
EVERYTHING = next(case for case in CASES if case.name == "everything")
BACKENDS = able(EVERYTHING.case())
FEW = ("smallest", "everything", "everything_reversed")
WHOLE = {("reference", "store"), ("xla", "store")}
WAYS = [
    pytest.param(backend, policy, case, id=f"{backend}-{policy}-{case}")
    for backend, policy, case in itertools.product(BACKENDS, POLICIES, CASES)
    if case.name in FEW or (backend, policy) in WHOLE
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle_gradient_is_the_slope_of_its_own_forward(case, oracle):
    p = oracle.problem(case)
    gradient = oracle.gradient(p, p.cotangents)
    random = np.random.default_rng(3)
    along = jax.tree.map(lambda a: random.normal(size=a.shape), p.arrays)

    def value(step: float) -> float:
        moved = jax.tree.map(lambda a, d: a + step * d, p.arrays, along)
        outputs = oracle.forward(p._replace(arrays=moved))
        return sum(np.vdot(a, b) for a, b in zip(outputs, p.cotangents, strict=True))

    slope = (value(1e-6) - value(-1e-6)) / 2e-6
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(along), strict=True)
    want = sum(np.vdot(a, b) for a, b in pairs)
    assert abs(slope - want) < 1e-8 * (1 + abs(want))


@pytest.mark.parametrize(("backend", "policy", "case"), WAYS)
def test_float64_is_the_oracle(backend, policy, case, oracle):
    p = oracle.problem(case)
    with jax.enable_x64(True):
        arrays, cotangents = oracle.on_device(p, "float64")
        run = oracle.compiled(p, jit=oracle.quickly, backend=backend, residuals=policy)
        outputs, gradient = run(arrays, cotangents)
        oracle.near(outputs, oracle.forward(p), 1e-13)
        oracle.near(gradient, oracle.gradient(p, p.cotangents), 1e-11, 1e-11)
        for one, got in oracle.apart(run, arrays, cotangents):
            oracle.near(got, oracle.gradient(p, one), 1e-11, 1e-11)


# Largest error of y and c, then relative L2 error of each gradient. Below, bfloat16
# left 1.6e-3, 1.5e-3 and 7.5e-3 at most, float16 2.0e-4, 1.6e-4 and 7.7e-4.
GATES = {
    "float32": (2e-6, 2e-6, 5e-6),
    "bfloat16": (8e-3, 5e-3, 1e-2),
    "float16": (1e-3, 1e-3, 3e-3),
}
DEEPER = itertools.product(("everything_reversed", "ragged", "tall"), POLICIES)
NARROW = [
    *((b, d, "everything", "recompute") for b in BACKENDS for d in GATES),
    ("xla", "bfloat16", "everything_reversed", "store"),
    ("xla", "bfloat16", "tall", "store"),
    *(
        pytest.param("xla", d, *way, marks=pytest.mark.wide)
        for way in DEEPER
        for d in ("bfloat16", "float16")
    ),
]


@pytest.mark.parametrize(("backend", "dtype", "name", "policy"), NARROW)
def test_narrow_dtypes_keep_wide_sums(backend, dtype, name, policy, oracle):
    case = next(case for case in CASES if case.name == name)
    p = oracle.problem(case, dtype, scale=0.4)
    arrays, cotangents = oracle.on_device(p, dtype)
    assert arrays.state.c.dtype == jnp.float32
    jit = jax.jit if case is EVERYTHING else oracle.quickly
    run = oracle.compiled(p, jit=jit, backend=backend, residuals=policy)
    outputs, gradient = run(arrays, cotangents)
    assert outputs.y.dtype == outputs.h.dtype == jnp.dtype(dtype)
    assert outputs.c.dtype == jnp.float32
    far_y, far_c, far_gradient = GATES[dtype]
    want = oracle.forward(p)
    oracle.near(outputs._replace(c=0.0), want._replace(c=0.0), far_y)
    oracle.near(outputs.c, want.c, far_c)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=far_gradient)


@pytest.fixture(scope="module")
def unplanted(oracle):
    """The comparison below passes where nothing is planted."""
    for backend in BACKENDS:
        compare_in_float32(oracle, backend)


@pytest.mark.usefixtures("unplanted")
@pytest.mark.parametrize("gate", range(4), ids=["i", "f", "g", "o"])
def test_a_wrong_sign_of_any_gate_is_caught(gate, oracle, monkeypatch):
    right = cell.backward

    def planted(gates, c, d_output, dc, peephole):
        dz, dc = right(gates, c, d_output, dc, peephole)
        parts = jnp.split(dz, 4, axis=-1)
        parts[gate] = -parts[gate]
        return jnp.concatenate(parts, axis=-1), dc

    monkeypatch.setattr(cell, "backward", planted)
    with pytest.raises(AssertionError, match=r"weights\.wh"):
        compare_in_float32(oracle, "xla")


@pytest.mark.usefixtures("unplanted")
@pytest.mark.parametrize("swap", [(0, 1), (1, 3), (0, 3)], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_another_gate_order_is_caught(backend, swap, oracle, monkeypatch):
    right = cell.activate

    def planted(z, c, peephole):
        return right(oracle.swapped(z, *swap), c, peephole)

    monkeypatch.setattr(cell, "activate", planted)
    with pytest.raises(AssertionError, match=r"\.y"):
        compare_in_float32(oracle, backend)


def compare_in_float32(oracle, backend):
    p = oracle.problem(CASES[2], "float32")
    arrays, cotangents = oracle.on_device(p, "float32")
    run = oracle.compiled(p, jit=oracle.quickly, backend=backend)
    outputs, gradient = run(arrays, cotangents)
    oracle.near(outputs, oracle.forward(p), 2e-6)
    wh = oracle.gradient(p, p.cotangents).weights.wh
    oracle.near({"weights.wh": gradient.weights.wh}, {"weights.wh": wh}, 2e-6)


def test_x_is_streamed_where_that_is_faster(oracle):
    """One loop with x·wx inside it, and no array of all gates' inputs."""
    p = oracle.problem(next(c for c in CASES if c.name == "many_rows"), "float32")
    arrays, _ = oracle.on_device(p, "float32")
    size = f"f32[{p.shape.time},{p.shape.batch},{4 * p.shape.hidden}]"
    x, weights, state, _ = arrays

    def program(x, state):
        return str(
            jax.make_jaxpr(lambda *a: lstm(*a, backend="xla"))(x, weights, state)
        )

    assert size not in program(x, state)
    few = jax.tree.map(lambda a: a[:15], state)
    assert size.replace("17", "15") in program(x[:15], few)
