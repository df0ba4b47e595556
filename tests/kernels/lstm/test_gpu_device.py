"""The GPU kernels on a real GPU: the whole protocol, and a stress test.

`launch/run bench rented-gpu` runs these in a process with a limit: blocks that wait for
ever would never end by themselves.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import LstmState, lstm
from kernels.lstm import gpu_sweeps, gpu_tiles, gradients, pallas_gpu, xla
from kernels.lstm.backend import Backend
from kernels.lstm.cases import Shape, tagged
from kernels.lstm.spec import Masks, Operands

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        jax.default_backend() != "gpu",
        reason=f"needs a real NVIDIA GPU, and this is a {jax.default_backend()}",
    ),
]

HERE = "pallas_gpu"
XLA = Backend(xla.supports, xla.forward, xla.backward, "store")
NARROW = ("bfloat16", "float16")
# y, c, then relative L2 of each gradient: reference/lstm.md's gates for a real device.
GATES = {
    "float32": (1e-5, 1e-5, 5e-5),
    "bfloat16": (8e-3, 8e-3, 2e-2),
    "float16": (1e-3, 1e-3, 5e-3),
}
# A cluster, a grid, every multiprocessor; masks of every kind where they fit.
LARGE = (
    Shape("h128", 65, 16, 1, 128),
    Shape("h256", 33, 64, 1, 256),
    Shape("h512", 33, 128, 1, 512, resets=True),
    Shape("h768", 65, 16, 1, 768, reverse=True),
    Shape("h1024", 33, 64, 1, 1024, h_mask=True),
    Shape("h650", 17, 20, 1, 650, peephole=True, resets=True),
)
TALL = Shape("every_block", 256, 128, 1, 1024)


def on_hopper() -> bool:
    card = gpu_tiles.present("gpu")
    return card is not None and card.capability[0] == 9


@pytest.mark.parametrize("dtype", GATES)
@pytest.mark.parametrize("case", tagged("test"), ids=str)
def test_values_and_gradients(case, dtype, oracle):
    """Small sizes against the oracle; projections and float32 are the fused cell's."""
    p = oracle.problem(case, dtype, scale=0.4)
    arrays, cotangents = oracle.on_device(p, dtype)
    outputs, gradient = oracle.compiled(p, backend=HERE)(arrays, cotangents)
    far_y, far_c, far_gradient = GATES[dtype]
    want = oracle.forward(p)
    oracle.near(outputs._replace(c=0.0), want._replace(c=0.0), far_y)
    oracle.near(outputs.c, want.c, far_c)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=far_gradient)


@pytest.mark.parametrize("policy", ["recompute", "checkpoint"])
def test_every_policy(policy, oracle):
    p = oracle.problem(Shape("policy", 9, 4, 3, 70, resets=True), "bfloat16", 0.4)
    arrays, cotangents = oracle.on_device(p, "bfloat16")
    run = oracle.compiled(p, backend=HERE, residuals=policy)
    _, gradient = run(arrays, cotangents)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=2e-2)


@functools.cache
def sweeps(shape: Shape, dtype: str, problem):
    """The inputs of both sweeps of a shape."""
    p = problem(shape, dtype, scale=0.4)
    lengths = None if shape.resets else jnp.arange(shape.batch) % (shape.time + 1)
    narrow = functools.partial(jnp.asarray, dtype=dtype)
    x, weights, state, h_mask = jax.tree.map(narrow, p.arrays)
    state = state._replace(c=state.c.astype(jnp.float32))
    resets = None if p.resets is None else jnp.asarray(p.resets).T
    operands = Operands(x.swapaxes(0, 1), weights, state, h_mask)
    core = gradients.core(operands, Masks(lengths, resets))
    dlast = LstmState(narrow(p.cotangents.h), jnp.asarray(p.cotangents.c, jnp.float32))
    dy = narrow(p.cotangents.y).swapaxes(0, 1)
    return gradients.input_gates(operands.x, weights), core, dy, dlast


def both(backend, shape: Shape, xp, core, dy, dlast):
    swept = backend.forward(xp, core, shape.reverse, "gates")
    given = (swept.gates, swept.cells, core, shape.reverse, dy, dlast)
    return swept.y, swept.last, backend.backward(*given)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_large_sizes_beside_xla(shape, dtype, oracle):
    given = sweeps(shape, dtype, oracle.problem)
    ours, theirs = (
        jax.jit(functools.partial(both, backend, shape))(*given)
        for backend in (pallas_gpu.BACKEND, XLA)
    )
    oracle.near(ours, theirs, relative=2 * GATES[dtype][2])


@pytest.mark.parametrize("time", [1, 2, 2048])
def test_short_and_long(time, oracle):
    shape = Shape("time", time, 16, 1, 256)
    given = sweeps(shape, "bfloat16", oracle.problem)
    ours, theirs = (
        jax.jit(functools.partial(both, backend, shape))(*given)
        for backend in (pallas_gpu.BACKEND, XLA)
    )
    oracle.near(ours, theirs, relative=5e-2)


def test_vmap_is_a_loop(oracle):
    p = oracle.problem(Shape("vmap", 5, 4, 3, 70), "bfloat16", scale=0.4)
    (x, weights, _, _), _ = oracle.on_device(p, "bfloat16")

    def value(x, weights):
        y, _ = lstm(x, weights, backend=HERE)
        return jnp.sum(y.astype(jnp.float32) ** 2)

    run = jax.jit(jax.grad(value, (0, 1)))
    many = jax.tree.map(lambda a: jnp.stack([a, a / 2, a / 4]), weights)
    got = jax.jit(jax.vmap(run, (None, 0)))(x, many)
    for i in range(3):
        at = functools.partial(jax.tree.map, lambda a, i=i: a[i])
        oracle.near(at(got), run(x, at(many)), relative=1e-6)


def test_gradient_of_the_gradient_norm(oracle):
    p = oracle.problem(Shape("second", 5, 4, 3, 70), "float16", scale=0.4)
    (x, weights, _, _), _ = oracle.on_device(p, "float16")

    def penalty(x, backend):
        def value(x):
            return jnp.sum(lstm(x, weights, backend=backend)[0].astype(jnp.float32))

        return jnp.sum(jax.grad(value)(x).astype(jnp.float32) ** 2)

    ours, theirs = (
        jax.jit(jax.grad(penalty), static_argnums=1)(x, b) for b in (HERE, "xla")
    )
    oracle.near(ours, theirs, relative=1e-2)


def test_stress_every_launch_gives_the_same_bits(oracle):
    """Two calls in each program, as many programs in flight as the queue holds."""
    if not on_hopper():
        pytest.fail("the stress test is of the persistent kernels: it needs Hopper")
    given = sweeps(TALL, "bfloat16", oracle.problem)
    card = gpu_tiles.present("gpu")
    forward, _ = gpu_tiles.sweeps(TALL.case("bfloat16"))
    cut = gpu_tiles.chosen(forward, card)
    assert card is not None
    assert cut is not None, f"{card} is too small"
    assert cut.blocks > 0.9 * card.processors

    @jax.jit
    def run(*given):
        once = both(gpu_sweeps, TALL, *given)
        later = jax.lax.optimization_barrier((given, once))[0]
        return once, both(gpu_sweeps, TALL, *later)

    first, again = jax.device_get(run(*given))
    results = [run(*given) for _ in range(20)]
    for _ in range(10):
        results = [*results[1:], run(*given)]
    for got in (again, *(half for pair in results for half in pair)):
        for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(got), strict=True):
            assert np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


def test_stress_many_short_launches(oracle):
    """A counter that is not zero at a launch would let blocks run ahead."""
    if not on_hopper():
        pytest.fail("the stress test is of the persistent kernels: it needs Hopper")
    shape = Shape("short", 8, 16, 1, 768)
    given = sweeps(shape, "bfloat16", oracle.problem)
    run = jax.jit(functools.partial(both, gpu_sweeps, shape))
    first = jax.device_get(run(*given))
    for _ in range(2000):
        last = run(*given)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(last), strict=True):
        assert np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
