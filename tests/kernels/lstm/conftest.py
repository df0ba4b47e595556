"""The oracle: an LSTM and its gradient as loops over single steps, in float64 numpy.

Written from the equations alone. It shares no line, and no idea of how to split the
work, with what it judges: every row of the batch is a loop of its own.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import LstmState, LstmWeights, lstm
from kernels.lstm.cases import Shape

Floats = Any  # float64 numpy, or jax arrays of any dtype


@pytest.fixture(scope="module", autouse=True)
def optimized(request):
    """The kernels are tested as they ship: with all that LLVM does to them.

    Not those of other machines in Pallas's interpreter: they never ship through LLVM,
    and compile for a quarter longer with it.
    """
    if getattr(request.module, "HERE", "").startswith("kernels.lstm.interpreted"):
        yield
        return
    name = "jax_disable_most_optimizations"
    others = jax.config.values[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name.upper(), "0")
        jax.config.update(name, False)
        jax.clear_caches()  # they do not ask how a program was compiled
        yield
        jax.config.update(name, others)
        jax.clear_caches()


class Arrays(NamedTuple):
    """The inputs that have gradients, and the cotangents' shape-alikes."""

    x: Floats  # [batch, time, features]
    weights: LstmWeights
    state: LstmState
    h_mask: Floats


class Cotangents(NamedTuple):
    y: Floats
    h: Floats
    c: Floats


class Problem(NamedTuple):
    shape: Shape
    arrays: Arrays
    cotangents: Cotangents
    lengths: np.ndarray | None
    resets: np.ndarray | None

    def options(self) -> dict[str, Any]:
        return {
            "lengths": None if self.lengths is None else jnp.asarray(self.lengths),
            "resets": None if self.resets is None else jnp.asarray(self.resets),
            "reverse": self.shape.reverse,
        }


def problem(shape: Shape, dtype: str = "float64", scale: float = 0.6) -> Problem:
    """Random arrays of a shape, rounded to `dtype` and held in float64."""
    random = np.random.default_rng(len(shape.name) + shape.hidden)
    out = shape.projected or shape.hidden

    def normal(*size) -> Any:
        return round_to(scale * random.normal(size=size), dtype)

    batch, time, hidden = shape.batch, shape.time, shape.hidden
    weights = LstmWeights(
        wx=normal(shape.features, 4 * hidden),
        wh=normal(out, 4 * hidden) / (1 if hidden < 32 else 8),
        b=normal(4 * hidden),
        peephole=normal(3, hidden) if shape.peephole else None,
        projection=normal(hidden, out) if shape.projected else None,
    )
    state = LstmState(normal(batch, out), normal(batch, hidden))
    h_mask = round_to(1.25 * (random.random((batch, out)) < 0.8), dtype)
    arrays = Arrays(
        normal(batch, time, shape.features),
        weights,
        state,
        h_mask if shape.h_mask else None,
    )
    cotangents = Cotangents(
        normal(batch, time, out), normal(batch, out), normal(batch, hidden)
    )
    ends = np.resize([0, 1, time, time - 2], batch)
    lengths = random.permutation(ends) if shape.lengths else None
    resets = random.random((batch, time)) < 0.3 if shape.resets else None
    return Problem(shape, arrays, cotangents, lengths, resets)


def round_to(array: np.ndarray, dtype: str) -> Any:
    """The nearest numbers of `dtype`, in float64: what a kernel is really given."""
    if dtype == "float64":
        return array
    return np.asarray(jnp.asarray(array, dtype), "float64")


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def order(p: Problem, row: int) -> list[int]:
    """The steps of one row, in the order in which they are taken."""
    length = p.shape.time if p.lengths is None else int(p.lengths[row])
    taken = list(range(length))
    return taken[::-1] if p.shape.reverse else taken


class Step(NamedTuple):
    t: int
    h: Floats  # entering, after any reset
    c: Floats
    i: Floats
    f: Floats
    g: Floats
    o: Floats
    c_after: Floats
    m: Floats  # o·tanh(c_after)
    h_after: Floats


def run_row(p: Problem, row: int) -> tuple[Floats, Floats, list[Step]]:
    """The last h and c of one row, and every step on the way."""
    w, hidden = p.arrays.weights, p.shape.hidden
    peep = np.zeros((3, hidden)) if w.peephole is None else w.peephole
    mask = 1.0 if p.arrays.h_mask is None else p.arrays.h_mask[row]
    h, c = p.arrays.state.h[row], p.arrays.state.c[row]
    tape = []
    for t in order(p, row):
        if p.resets is not None and p.resets[row, t]:
            h, c = 0 * h, 0 * c
        z = p.arrays.x[row, t] @ w.wx + (h * mask) @ w.wh + w.b
        i = sigmoid(z[:hidden] + peep[0] * c)
        f = sigmoid(z[hidden : 2 * hidden] + peep[1] * c)
        g = np.tanh(z[2 * hidden : 3 * hidden])
        c_after = f * c + i * g
        o = sigmoid(z[3 * hidden :] + peep[2] * c_after)
        m = o * np.tanh(c_after)
        h_after = m if w.projection is None else m @ w.projection
        tape.append(Step(t, h, c, i, f, g, o, c_after, m, h_after))
        h, c = h_after, c_after
    return h, c, tape


def oracle_forward(p: Problem) -> Cotangents:
    """y and the last state."""
    y = np.zeros_like(p.cotangents.y)
    h, c = np.zeros_like(p.cotangents.h), np.zeros_like(p.cotangents.c)
    for row in range(p.shape.batch):
        h[row], c[row], tape = run_row(p, row)
        for step in tape:
            y[row, step.t] = step.h_after
    return Cotangents(y, h, c)


def oracle_gradient(p: Problem, cot: Cotangents) -> Arrays:
    """Gradient of <y, cot.y> + <h, cot.h> + <c, cot.c>, by hand through each row."""
    w, hidden = p.arrays.weights, p.shape.hidden
    grad = jax.tree.map(np.zeros_like, p.arrays)
    peep = np.zeros((3, hidden)) if w.peephole is None else w.peephole
    for row in range(p.shape.batch):
        mask = 1.0 if p.arrays.h_mask is None else p.arrays.h_mask[row]
        dh, dc = cot.h[row].copy(), cot.c[row].copy()
        for t, h, c, i, f, g, o, after, m, _ in run_row(p, row)[2][::-1]:
            dh = dh + cot.y[row, t]
            dm = dh
            if w.projection is not None:
                grad.weights.projection[:] += np.outer(m, dh)
                dm = w.projection @ dh
            th = np.tanh(after)
            dzo = dm * th * o * (1 - o)
            dc = dc + dm * o * (1 - th**2) + dzo * peep[2]
            dzi, dzf = dc * g * i * (1 - i), dc * c * f * (1 - f)
            dz = np.concatenate([dzi, dzf, dc * i * (1 - g**2), dzo])
            grad.x[row, t] = w.wx @ dz
            grad.weights.wx[:] += np.outer(p.arrays.x[row, t], dz)
            grad.weights.wh[:] += np.outer(h * mask, dz)
            grad.weights.b[:] += dz
            if w.peephole is not None:
                grad.weights.peephole[:] += np.stack([dzi * c, dzf * c, dzo * after])
            seen = w.wh @ dz
            if grad.h_mask is not None:
                grad.h_mask[row] += seen * h
            dh, dc = seen * mask, dc * f + dzi * peep[0] + dzf * peep[1]
            if p.resets is not None and p.resets[row, t]:
                dh, dc = 0 * dh, 0 * dc
        grad.state.h[row], grad.state.c[row] = dh, dc
    return grad


def on_device(p: Problem, dtype: str) -> tuple[Arrays, Cotangents]:
    """The arrays as `lstm` takes them: of `dtype`, c at least float32."""
    wide = jnp.promote_types(dtype, "float32")
    arrays, cot = jax.tree.map(
        lambda a: jnp.asarray(a, dtype), (p.arrays, p.cotangents)
    )
    state = LstmState(arrays.state.h, jnp.asarray(p.arrays.state.c, wide))
    cot = cot._replace(c=jnp.asarray(p.cotangents.c, wide))
    return arrays._replace(state=state), cot


# Compiles in 0.6 of the time, to run once: where only the equations are on trial.
QUICKLY = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)


def outputs_and_gradient(p: Problem, jit: Callable = jax.jit, **options):
    """A compiled (arrays, cotangents) → outputs, gradient, through `lstm`."""
    options = p.options() | options

    def call(arrays: Arrays) -> Cotangents:
        x, weights, state, h_mask = arrays
        y, last = lstm(x, weights, state, h_mask=h_mask, **options)
        return Cotangents(y, last.h, last.c)

    def both(arrays: Arrays, cotangents: Cotangents):
        outputs, pull = jax.vjp(call, arrays)
        return outputs, pull(cotangents)[0]

    return jit(both)


def swapped(columns, one: int, other: int):
    """The same columns of gates, two of the gates in each other's place."""
    parts = jnp.split(columns, 4, axis=-1)
    parts[one], parts[other] = parts[other], parts[one]
    return jnp.concatenate(parts, axis=-1)


def apart(run, arrays: Arrays, cotangents: Cotangents):
    """Cotangents of which all but one are zero, for each, and the gradient by them."""
    for kept in Cotangents._fields:
        one = jax.tree.map(jnp.zeros_like, cotangents)
        one = one._replace(**{kept: getattr(cotangents, kept)})
        yield jax.tree.map(np.asarray, one), run(arrays, one)[1]


def distances(got, want) -> dict[str, tuple[float, float]]:
    """For each leaf: the largest difference, and the relative L2 one."""
    found = {}
    leaves = jax.tree_util.tree_leaves_with_path(want)
    for (path, b), a in zip(leaves, jax.tree.leaves(got), strict=True):
        a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
        assert a.shape == b.shape
        assert np.isfinite(a).all()
        gap = np.linalg.norm(a - b)
        relative = gap / max(float(np.linalg.norm(b)), 1e-30) if gap else 0.0
        name = jax.tree_util.keystr(path)
        found[name] = (float(np.abs(a - b).max(initial=0)), float(relative))
    return found


def near(got, want, absolute: float | None = None, relative: float | None = None):
    """Asserts on each leaf: largest difference and/or relative L2 difference."""
    for name, (largest, rel) in distances(got, want).items():
        assert absolute is None or largest <= absolute, (name, largest, absolute)
        assert relative is None or rel <= relative, (name, rel, relative)


class Slopes(NamedTuple):
    """Gradients by x and weights of a call's outputs, in float32."""

    x: Any
    weights: Any
    of: Callable  # (x, weights) → value, gradient
    run: Callable  # the same, compiled


def slopes(case: Shape, backend: str) -> Slopes:
    p = problem(case, "float32")
    (x, weights, _, _), cotangents = on_device(p, "float32")

    def value(x, weights):
        y, last = lstm(x, weights, backend=backend, **p.options())
        return jnp.vdot(y, cotangents.y) + jnp.vdot(last.c, cotangents.c)

    of = jax.value_and_grad(value, (0, 1))
    return Slopes(x, weights, of, QUICKLY(of))


def vmap_is_a_loop(mapped: str, slopes: Slopes) -> None:
    """Asserts it for two calls that differ in "x", "weights" or "both"."""
    x, weights, of, run = slopes
    given, axes, each = [x, weights], [None, None], [[x, weights], [x, weights]]
    for n, scale in enumerate((0.5, -1.5)):
        if mapped in (("x", "weights")[n], "both"):
            less = jax.tree.map(lambda a: scale * a, given[n])  # noqa: B023
            each[1][n], axes[n] = less, 0
            given[n] = jax.tree.map(lambda *a: jnp.stack(a), given[n], less)
    got = QUICKLY(jax.vmap(of, axes))(*given)
    for i in range(2):
        alone = run(*each[i])
        near(jax.tree.map(lambda a: a[i], got), alone, relative=2e-5)  # noqa: B023


class Tools(NamedTuple):
    problem: Any
    forward: Any
    gradient: Any
    on_device: Any
    compiled: Any
    quickly: Any  # jax.jit
    near: Any
    distances: Any
    apart: Any
    swapped: Any
    slopes: Any
    vmap_is_a_loop: Any


@pytest.fixture(scope="session")
def oracle() -> Tools:
    return Tools(
        problem,
        oracle_forward,
        oracle_gradient,
        on_device,
        outputs_and_gradient,
        QUICKLY,
        near,
        distances,
        apart,
        swapped,
        slopes,
        vmap_is_a_loop,
    )
