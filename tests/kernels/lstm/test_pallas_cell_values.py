"""The TPU cell, one kernel a step, in Pallas's interpreter, against the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from kernels import LstmState, lstm_cell
from kernels.lstm import (
    gradients,
    pallas_cell,
    tpu_cell_tiles,
    tpu_kernels,
    tpu_tiles,
    xla,
)
from kernels.lstm.cases import Shape, tagged
from kernels.lstm.spec import Masks, Operands
from kernels.lstm.tpu_cell_tiles import Tile

HERE = "kernels.lstm.interpreted_cell"
CASES = {case.name: case for case in tagged("test")}


@pytest.mark.parametrize(
    ("case", "policy"),
    [
        ("smallest", "store"),
        ("everything", "store"),
        ("everything_reversed", "recompute"),
        ("ragged", "checkpoint"),
    ],
)
def test_float64_is_the_oracle(case, policy, oracle):
    p = oracle.problem(CASES[case])
    with jax.enable_x64(True):
        arrays, cotangents = oracle.on_device(p, "float64")
        run = oracle.compiled(p, jit=oracle.quickly, backend=HERE, residuals=policy)
        outputs, gradient = run(arrays, cotangents)
        apart = list(oracle.apart(run, arrays, cotangents))
    oracle.near(outputs, oracle.forward(p), 1e-13)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), 1e-11, 1e-11)
    for one, got in apart:
        oracle.near(got, oracle.gradient(p, one), 1e-11, 1e-11)


# y, c, then relative L2 of each gradient: the gates of test_lstm_values.py.
GATES = {"float32": (2e-6, 2e-6, 5e-6), "bfloat16": (8e-3, 5e-3, 1e-2)}


@pytest.mark.parametrize("dtype", GATES)
def test_many_tiles_are_one_product(dtype, oracle, monkeypatch):
    """Three tiles of cells, two of h, three of the batch, of which one is not full."""
    monkeypatch.setattr(tpu_cell_tiles, "chosen", lambda *_: Tile(8, 128, 128, 0))
    shape = Shape("tiles", 3, 18, 2, 300, 200, peephole=True, h_mask=True, resets=True)
    p = oracle.problem(shape, dtype, scale=0.2)
    arrays, cotangents = oracle.on_device(p, dtype)
    outputs, gradient = oracle.compiled(p, backend=HERE)(arrays, cotangents)
    far_y, far_c, far_gradient = GATES[dtype]
    want = oracle.forward(p)
    oracle.near(outputs._replace(c=0.0), want._replace(c=0.0), far_y)
    oracle.near(outputs.c, want.c, far_c)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=far_gradient)


def test_a_simulated_tpu_agrees(oracle, monkeypatch):
    """Memories apart, copies between them as on the device, unwritten memory NaN."""
    monkeypatch.setattr(tpu_cell_tiles, "chosen", lambda *_: Tile(8, 128, 128, 0))
    p = oracle.problem(Shape("tpu", 3, 12, 2, 200, peephole=True), "float32")
    (x, weights, state, h_mask), cotangents = oracle.on_device(p, "float32")
    operands = Operands(x.swapaxes(0, 1), weights, state, h_mask)
    core = gradients.core(operands, Masks(None, None))
    dlast = LstmState(cotangents.h, cotangents.c)
    simulated = pltpu.InterpretParams(uninitialized_memory="nan", detect_races=True)

    def both(module, *interpret):
        xp = gradients.input_gates(operands.x, weights)
        swept = module.forward(xp, core, False, "gates", *interpret)
        dy = cotangents.y.swapaxes(0, 1)
        found = (swept.gates, swept.cells, core, False, dy, dlast)
        return swept, module.backward(*found, *interpret)

    oracle.near(both(pallas_cell, simulated), both(xla), 5e-6)


def test_what_does_not_fit_vmem_is_left_to_the_cell(oracle, monkeypatch):
    used = []
    monkeypatch.setattr(tpu_tiles, "chosen", lambda *_: None)
    right = tpu_cell_tiles.chosen
    monkeypatch.setattr(
        tpu_cell_tiles, "chosen", lambda *size: used.append(size) or right(*size)
    )
    p = oracle.problem(CASES["odd"], "float32")
    run = oracle.compiled(p, backend="kernels.lstm.interpreted")
    outputs, gradient = run(*oracle.on_device(p, "float32"))
    assert [backward for backward, *_ in used] == [False, True]
    oracle.near(outputs, oracle.forward(p), 2e-6)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=5e-6)


def test_one_step_and_its_derivatives(oracle):
    """lstm_cell through the kernel: values, gradient, gradient of the gradient norm."""
    p = oracle.problem(CASES["peepholes"], "float32")
    (x, weights, state, _), cotangents = oracle.on_device(p, "float32")

    def value(backend, x, state):
        h, (_, c) = lstm_cell(x, LstmState(*state), weights, backend=backend)
        return jnp.vdot(h, cotangents.h) + jnp.vdot(c, cotangents.c)

    def all_of(backend):
        def penalty(*arrays):
            first = jax.grad(value, (1, 2))(backend, *arrays)
            return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(first))

        def both(*arrays):
            first = jax.value_and_grad(value, (1, 2))(backend, *arrays)
            return first, jax.value_and_grad(penalty, (0, 1))(*arrays)

        return oracle.quickly(both)(x[:, 0], tuple(state))

    oracle.near(all_of(HERE), all_of(None), relative=1e-5)


@pytest.fixture(scope="module")
def slopes(oracle):
    return oracle.slopes(CASES["ragged"], HERE)


@pytest.mark.parametrize("mapped", ["x", "weights", "both"])
def test_vmap_is_a_loop(mapped, slopes, oracle):
    oracle.vmap_is_a_loop(mapped, slopes)


@pytest.fixture(scope="module")
def unplanted(oracle):
    """The comparison below passes where nothing is planted."""
    in_float32(oracle)


@pytest.fixture
def traced_anew():
    """jax 0.11 keeps what it has traced, and would not see what is planted."""
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.mark.usefixtures("unplanted", "traced_anew")
@pytest.mark.parametrize("gate", range(4), ids=["i", "f", "g", "o"])
def test_a_wrong_sign_of_any_gate_is_caught(gate, oracle, monkeypatch):
    right = tpu_kernels.through_gates

    def planted(*arguments):
        dz, dc = right(*arguments)
        return tuple(-part if n == gate else part for n, part in enumerate(dz)), dc

    monkeypatch.setattr(tpu_kernels, "through_gates", planted)
    with pytest.raises(AssertionError, match=r"\.x"):
        in_float32(oracle)


@pytest.mark.usefixtures("unplanted", "traced_anew")
@pytest.mark.parametrize("swap", [(0, 1), (1, 3), (0, 3), (2, 3)], ids=str)
def test_another_gate_order_is_caught(swap, oracle, monkeypatch):
    right = tpu_kernels.activate

    def planted(z, c, peephole):
        z = list(z)
        z[swap[0]], z[swap[1]] = z[swap[1]], z[swap[0]]
        return right(z, c, peephole)

    monkeypatch.setattr(tpu_kernels, "activate", planted)
    with pytest.raises(AssertionError, match=r"\.y"):
        in_float32(oracle)


def in_float32(oracle) -> None:
    p = oracle.problem(CASES["odd"], "float32")
    run = oracle.compiled(p, jit=oracle.quickly, backend=HERE)
    outputs, gradient = run(*oracle.on_device(p, "float32"))
    oracle.near(outputs, oracle.forward(p), 2e-6)
    want = oracle.gradient(p, p.cotangents)
    assert np.linalg.norm(want.weights.wh) > 0.1
    oracle.near(gradient, want, relative=5e-6)
