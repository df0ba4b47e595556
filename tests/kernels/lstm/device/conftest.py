"""The test protocol on a real device: what the tests of GPUs and of TPUs share."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

from kernels import LstmState, lstm
from kernels.lstm import gradients, xla
from kernels.lstm.backend import Backend
from kernels.lstm.cases import Shape
from kernels.lstm.spec import Masks, Operands

XLA = Backend(xla.supports, xla.forward, xla.backward, "store")
Gates = tuple[float, float, float]  # y, c, then relative L2 of each gradient


def values_and_gradients(oracle, backend: str, case: Shape, dtype: str, gates: Gates):
    """A small size against the oracle."""
    p = oracle.problem(case, dtype, scale=0.4)
    arrays, cotangents = oracle.on_device(p, dtype)
    outputs, gradient = oracle.compiled(p, backend=backend)(arrays, cotangents)
    far_y, far_c, far_gradient = gates
    want = oracle.forward(p)
    oracle.near(outputs._replace(c=0.0), want._replace(c=0.0), far_y)
    oracle.near(outputs.c, want.c, far_c)
    wanted = oracle.gradient(p, p.cotangents)
    for name, (largest, rel) in oracle.distances(gradient, wanted).items():
        # What a single number's terms have cancelled to is as far off as they are: by
        # 2.4 % of 0.006 on an H200, whose tanh is one instruction.
        alone = case.hidden == case.batch == 1
        assert rel <= far_gradient or (alone and largest <= far_y / 10), (name, rel)


def gradients_by_policy(oracle, backend: str, policy: str):
    """What keeps less for the way back gives the oracle's gradients as well."""
    p = oracle.problem(Shape("policy", 9, 4, 3, 70, resets=True), "bfloat16", 0.4)
    arrays, cotangents = oracle.on_device(p, "bfloat16")
    run = oracle.compiled(p, backend=backend, residuals=policy)
    _, gradient = run(arrays, cotangents)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=2e-2)


@functools.cache
def sweeps(oracle, shape: Shape, dtype: str):
    """The inputs of both sweeps of a shape: xp, core, dy, dlast."""
    p = oracle.problem(shape, dtype, scale=0.4)
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
    """y, the last state, and all that comes back."""
    swept = backend.forward(xp, core, shape.reverse, "gates")
    given = (swept.gates, swept.cells, core, shape.reverse, dy, dlast)
    return swept.y, swept.last, backend.backward(*given)


def beside_xla(
    oracle,
    backend: Any,
    shape: Shape,
    dtype: str,
    relative: float,
    run: Callable = both,
):
    """A large size: too large for the oracle, whose loops xla's are held to."""
    given = sweeps(oracle, shape, dtype)
    ours, theirs = (
        jax.jit(functools.partial(run, b, shape))(*given) for b in (backend, XLA)
    )
    oracle.near(ours, theirs, relative=relative)


def past_is_never_read(oracle, backend: str, dtype: str):
    """NaN in x beyond the rows' lengths changes no bit of outputs or gradients."""
    p = oracle.problem(Shape("past", 11, 12, 3, 70, lengths=True), dtype, scale=0.4)
    arrays, cotangents = oracle.on_device(p, dtype)
    past = jnp.arange(p.shape.time) >= jnp.asarray(p.lengths)[:, None]
    run = oracle.compiled(p, backend=backend)
    poisoned = jnp.where(past[..., None], jnp.nan, arrays.x).astype(dtype)
    once, again = (run(arrays._replace(x=x), cotangents) for x in (arrays.x, poisoned))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(once))
    same_bits(once, again)


def vmap_is_a_loop(oracle, backend: str):
    """Over the weights."""
    p = oracle.problem(Shape("vmap", 5, 4, 3, 70), "bfloat16", scale=0.4)
    (x, weights, _, _), _ = oracle.on_device(p, "bfloat16")

    def value(x, weights):
        y, _ = lstm(x, weights, backend=backend)
        return jnp.sum(y.astype(jnp.float32) ** 2)

    run = jax.jit(jax.grad(value, (0, 1)))
    many = jax.tree.map(lambda a: jnp.stack([a, a / 2, a / 4]), weights)
    got = jax.jit(jax.vmap(run, (None, 0)))(x, many)
    for i in range(3):
        at = functools.partial(jax.tree.map, lambda a, i=i: a[i])
        oracle.near(at(got), run(x, at(many)), relative=1e-6)


def gradient_of_the_gradient_norm(oracle, backend: str, dtype: str, relative: float):
    """Beside xla's."""
    p = oracle.problem(Shape("second", 5, 4, 3, 70), dtype, scale=0.4)
    (x, weights, _, _), _ = oracle.on_device(p, dtype)

    def penalty(x, backend):
        def value(x):
            return jnp.sum(lstm(x, weights, backend=backend)[0].astype(jnp.float32))

        return jnp.sum(jax.grad(value)(x).astype(jnp.float32) ** 2)

    ours, theirs = (
        jax.jit(jax.grad(penalty), static_argnums=1)(x, b) for b in (backend, "xla")
    )
    oracle.near(ours, theirs, relative=relative)


def same_bits(first: Any, again: Any):
    """Asserts that two launches gave the same, bit for bit; compared on the device."""
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert bool(jnp.array_equal(bits(a), bits(b)))


def bits(array: jax.Array) -> jax.Array:
    unsigned = {2: jnp.uint16, 4: jnp.uint32}[array.dtype.itemsize]
    return jax.lax.bitcast_convert_type(array, unsigned)


class Protocol(NamedTuple):
    """The functions above, given the oracle."""

    values_and_gradients: Callable
    gradients_by_policy: Callable
    sweeps: Callable
    both: Callable
    beside_xla: Callable
    past_is_never_read: Callable
    vmap_is_a_loop: Callable
    gradient_of_the_gradient_norm: Callable
    same_bits: Callable


@pytest.fixture(scope="session")
def protocol(oracle) -> Protocol:
    def of(run: Callable) -> Callable:
        return functools.partial(run, oracle)

    return Protocol(
        of(values_and_gradients),
        of(gradients_by_policy),
        of(sweeps),
        both,
        of(beside_xla),
        of(past_is_never_read),
        of(vmap_is_a_loop),
        of(gradient_of_the_gradient_norm),
        same_bits,
    )
