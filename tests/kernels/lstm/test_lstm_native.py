"""The C++ sweeps against the oracle: every case they take, every residual policy."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import LstmWeights, explain, lstm
from kernels.lstm import native, pallas_tpu
from kernels.lstm.cases import tagged
from kernels.lstm.spec import POLICIES

ABSENT = native.build.missing(native.SOURCE, native.TARGETS)
CASES = [c for c in tagged("test") if native.supports(c.case()) is None]
FEW = ("odd", "masked_reversed", "tall")

pytestmark = pytest.mark.skipif(ABSENT is not None, reason=str(ABSENT))


@pytest.mark.parametrize(
    ("case", "policy"),
    [
        pytest.param(case, policy, id=f"{case}-{policy}")
        for case, policy in itertools.product(CASES, POLICIES)
        if policy == "store" or case.name in FEW
    ],
)
def test_value_and_gradients_are_the_oracles(case, policy, oracle):
    p = oracle.problem(case, "float32")
    arrays, cotangents = oracle.on_device(p, "float32")
    run = oracle.compiled(p, backend="native", residuals=policy)
    outputs, gradient = run(arrays, cotangents)
    oracle.near(outputs, oracle.forward(p), 2e-6)
    far = 1e-5 if case.name == "smallest" else 5e-6  # its one number is 6.5e-6 off
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=far)
    for one, got in oracle.apart(run, arrays, cotangents):
        oracle.near(got, oracle.gradient(p, one), relative=far)


@pytest.mark.parametrize("array", ["wx", "wh", "b"])
def test_another_gate_order_is_caught(array, oracle, odd):
    """In the weights that the C++ is given: i and f, f and o, i and g exchanged."""
    p, arrays, cotangents, run = odd
    y = oracle.forward(p).y
    oracle.near(run(arrays, cotangents)[0].y, y, 2e-6)
    for pair in ((0, 1), (1, 3), (0, 2)):
        wrong = oracle.swapped(getattr(arrays.weights, array), *pair)
        weights = arrays.weights._replace(**{array: wrong})
        got = run(arrays._replace(weights=weights), cotangents)[0].y
        with pytest.raises(AssertionError):
            oracle.near(got, y, 2e-6)


@pytest.fixture(scope="module")
def odd(oracle):
    p = oracle.problem(next(c for c in CASES if c.name == "odd"), "float32")
    run = oracle.compiled(p, jit=oracle.quickly, backend="native")
    return p, *oracle.on_device(p, "float32"), run


@pytest.mark.parametrize("case", tagged("sizes"), ids=str)
@pytest.mark.parametrize(
    "backend", ["native", pytest.param("xla", marks=pytest.mark.wide)]
)
def test_large_sizes_are_the_oracles(backend, case, oracle):
    """Sums over more rows than a chunk's, x·wx made before the sweep, many cells."""
    p = oracle.problem(case, "float32", scale=0.6 if case.features < 100 else 0.2)
    arrays, cotangents = oracle.on_device(p, "float32")
    run = oracle.compiled(p, jit=oracle.quickly, backend=backend, residuals="store")
    outputs, gradient = run(arrays, cotangents)
    oracle.near(outputs, oracle.forward(p), 3e-6)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=5e-6)


def test_each_way_through_the_code_is_taken_by_a_size_above():
    header = native.SOURCE.with_name("native_weights.h").read_text()
    chunk = int(re.findall(r"kChunk = (\d+)", header)[0])
    assert any(c.time * c.batch > 2 * chunk and c.lengths for c in tagged("sizes"))
    given = [c for c in tagged("sizes") if not native.streams(c.case())]
    assert {c.batch for c in given} == {1, 17}


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("case", ["masked", "tall"])
def test_the_threads_that_share_the_work_change_no_bit(case, threads, oracle, tmp_path):
    """One thread takes rows, several take cells or rows: the sums are the same."""
    shape = next(c for c in CASES if c.name == case)
    p = oracle.problem(shape, "float32")
    arrays, cotangents = oracle.on_device(p, "float32")
    mine = oracle.compiled(p, backend="native")(arrays, cotangents)
    stored = tmp_path / "given.npz"
    leaves = jax.tree.leaves((arrays, cotangents, p.lengths, p.resets))
    np.savez(stored, *map(np.asarray, leaves))
    other = run_with_threads(threads, case, stored)
    for a, b in zip(jax.tree.leaves(mine), other, strict=True):
        np.testing.assert_array_equal(np.asarray(a), b)


def run_with_threads(threads, case, stored):
    """Outputs and gradient of the same arrays in a process with that many threads."""
    code = f"""
import sys; sys.path.insert(0, "tests/kernels/lstm")
import jax, numpy as np, conftest
from kernels.lstm.cases import tagged
shape = next(c for c in tagged("test") if c.name == {case!r})
p = conftest.problem(shape, "float32")
arrays, cotangents = conftest.on_device(p, "float32")
given = np.load({str(stored)!r})
for a, b in zip(jax.tree.leaves((arrays, cotangents)), given.values()):
    np.testing.assert_array_equal(a, b)
found = conftest.outputs_and_gradient(p, backend="native")(arrays, cotangents)
np.savez({str(stored.with_name("found.npz"))!r}, *jax.tree.leaves(found))
"""
    root = Path(native.__file__).parents[2]
    environment = os.environ | {"NPROC": str(threads), "JAX_NUM_CPU_DEVICES": "1"}
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, cwd=root, env=environment)
    return list(np.load(stored.with_name("found.npz")).values())


def test_it_is_what_a_cpu_takes():
    case = next(c for c in CASES if c.name == "odd")
    assert native.supports(case.case("bfloat16")) == "bfloat16: only float32 is done"
    weights = jax.eval_shape(lambda: arrays_of(case)[1])
    told = explain(jax.ShapeDtypeStruct((3, 7, 5), jnp.float32), weights)
    assert told.pop("pallas_gpu").startswith("it is for NVIDIA GPUs, and this is a cpu")
    assert told == {
        "pallas_tpu": explain_tpu(),
        "native": "taken",
        "xla": "able",
        "reference": "able",
    }


def arrays_of(case):
    columns = 4 * case.hidden
    shapes = ((case.features, columns), (case.hidden, columns), (columns,))
    weights = LstmWeights(*(jnp.ones(shape) for shape in shapes))
    return jnp.ones((case.batch, case.time, case.features)), weights


def explain_tpu() -> str:
    case = next(c for c in CASES if c.name == "odd")
    return str(pallas_tpu.BACKEND.supports(case.case()))


def test_gradient_of_the_gradient_norm_is_the_reference_s(oracle):
    case = next(c for c in CASES if c.name == "masked")
    p = oracle.problem(case, "float32")
    arrays, cotangents = oracle.on_device(p, "float32")

    def penalty(arrays, backend):
        def value(x):
            y, last = lstm(
                x, arrays.weights, arrays.state, h_mask=arrays.h_mask,
                backend=backend, **p.options(),
            )  # fmt: skip
            return jnp.vdot(y, cotangents.y) + jnp.vdot(last.c, cotangents.c)

        return jnp.sum(jax.grad(value)(arrays.x) ** 2)

    got, want = (
        jax.jit(jax.grad(penalty), static_argnums=1)(arrays, backend)
        for backend in ("native", "reference")
    )
    oracle.near(got, jax.tree.map(np.asarray, want), relative=1e-5)


EACH = (0, 0, 0, 0, 0)  # x, state, lengths, resets and h_mask; beside them the weights
SOME = (None, 0, None, 0, None)
READ = (0, None, None, None, None)
MAPPED = {  # the axes of a vmap, the innermost first
    "rows": [(EACH, None)],
    "some": [(SOME, None)],
    "read": [(READ, None)],
    "weights": [(None, 0)],
    "both": [(EACH, 0)],
    "weights_of_rows": [(EACH, None), (None, 0)],
    "rows_of_weights": [(None, 0), (EACH, None)],
}


def some(axes, change, given):
    """`change` for what is mapped."""

    def each(axis, tree):
        return tree if axis is None else jax.tree.map(change, tree)

    return jax.tree.map(each, axes, given, is_leaf=lambda axis: axis is None)


@pytest.mark.parametrize(
    ("case", "mapped"),
    [("odd" if how == "read" else "masked", how) for how in MAPPED],
)
def test_vmap_is_one_call_that_gives_what_a_loop_does(case, mapped, oracle):
    p = oracle.problem(next(c for c in CASES if c.name == case), "float32")
    (x, weights, state, h_mask), cotangents = oracle.on_device(p, "float32")
    options = p.options()

    def slopes(rows, weights):
        def value(x, weights):
            _, state, lengths, resets, h_mask = rows
            y, last = lstm(
                x, weights, state, lengths=lengths, resets=resets, h_mask=h_mask,
                backend="native",
            )  # fmt: skip
            product = jnp.vdot(y, cotangents.y) + jnp.vdot(last.c, cotangents.c)
            return product, (y, last)

        return jax.grad(value, (0, 1), has_aux=True)(rows[0], weights)

    given = ((x, state, options["lengths"], options["resets"], h_mask), weights)
    run, once, levels = slopes, oracle.quickly(slopes), MAPPED[mapped]
    for axes in levels:
        run = jax.vmap(run, axes)
        given = some(axes, lambda a: jnp.stack([a, a[::-1], jnp.roll(a, 1, 0)]), given)
    compiled = jax.jit(run).lower(*given).compile()
    text = compiled.as_text()
    assert text is not None
    assert "while" not in text
    for target in native.TARGETS:
        assert text.count(f'custom_call_target="{target}"') == 1
    got = compiled(*given)
    for index in itertools.product(range(3), repeat=len(levels)):
        one = given
        for axes, i in zip(reversed(levels), index, strict=True):
            one = some(axes, lambda a: a[i], one)  # noqa: B023
        want, exact = once(*one)
        near, same = jax.tree.map(lambda a: a[index], got)  # noqa: B023
        oracle.near(near, want, relative=1e-6)
        jax.tree.map(np.testing.assert_array_equal, same, exact)


def test_pmapped_sweeps_are_the_same(oracle):
    case = next(c for c in CASES if c.name == "tall")
    p = oracle.problem(case, "float32")
    arrays, _ = oracle.on_device(p, "float32")
    x, weights, state, _ = arrays
    devices = jax.device_count()
    many = jnp.stack([x * (i + 1) for i in range(devices)])
    run = jax.pmap(lambda x: lstm(x, weights, state, backend="native")[0])
    for _ in range(5):
        got = run(many)
    for i in range(devices):
        want = lstm(many[i], weights, state, backend="native")[0]
        np.testing.assert_array_equal(got[i], want)
