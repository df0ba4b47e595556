"""The TPU kernels in Pallas's interpreter, against the float64 oracle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from kernels import LstmState, lstm
from kernels.lstm import gradients, pallas_tpu, tpu_kernels, tpu_tiles, xla
from kernels.lstm.cases import Shape, tagged
from kernels.lstm.spec import Masks, Operands
from kernels.lstm.tpu_tiles import FEW, Tile

HERE = "kernels.lstm.interpreted"
CASES = {case.name: case for case in tagged("test")}


@pytest.mark.parametrize(
    ("case", "policy"),
    [
        ("smallest", "store"),
        ("beyond_a_lane", "recompute"),
        ("reversed", "recompute"),
        ("everything", "store"),
        ("everything_reversed", "recompute"),
        ("everything_reversed", "checkpoint"),
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
def test_narrow_dtypes_keep_wide_sums(dtype, oracle):
    p = oracle.problem(CASES["everything"], dtype, scale=0.4)
    arrays, cotangents = oracle.on_device(p, dtype)
    outputs, gradient = oracle.compiled(p, backend=HERE)(arrays, cotangents)
    assert outputs.y.dtype == outputs.h.dtype == jnp.dtype(dtype)
    assert outputs.c.dtype == jnp.float32
    far_y, far_c, far_gradient = GATES[dtype]
    want = oracle.forward(p)
    oracle.near(outputs._replace(c=0.0), want._replace(c=0.0), far_y)
    oracle.near(outputs.c, want.c, far_c)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=far_gradient)


def test_a_step_of_many_pieces(oracle):
    """Two pieces of cells, the last of them short; on a v6e, wh in pairs of rows."""
    shape = Shape("pieces", 3, 4, 2, 300, resets=True, h_mask=True)
    p = oracle.problem(shape, "bfloat16", scale=0.4)
    arrays, cotangents = oracle.on_device(p, "bfloat16")
    far_y, far_c, far_gradient = GATES["bfloat16"]
    want = oracle.forward(p)
    with tpu_tiles.compiling_for("v6e"):
        outputs, gradient = oracle.compiled(p, backend=HERE)(arrays, cotangents)
        # What keeps no gates reads wh in pairs.
        y, last = lstm(*arrays[:3], h_mask=arrays.h_mask, backend=HERE, **p.options())
    oracle.near(outputs._replace(c=0.0), want._replace(c=0.0), far_y)
    oracle.near((y, last.h), (want.y, want.h), far_y)
    oracle.near((outputs.c, last.c), (want.c, want.c), far_c)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=far_gradient)


TILES = {
    "one step at a time": Tile(4, 1, 0),
    "time ends inside a block": Tile(4, 2, 0),
    "rows end inside the last tile": Tile(8, 2, 0),
}


@pytest.mark.parametrize("name", TILES)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_cutting_changes_nothing(name, reverse, oracle, monkeypatch):
    """However the rows and steps are cut, both sweeps give what xla's loops do."""
    tile = TILES[name]
    rows = 4 if tile.batch == 4 else 18
    shape = Shape(name, 7, rows, 2, 3, 5, peephole=True, h_mask=True, resets=True)
    p = oracle.problem(shape, "float32")
    arrays, cotangents = oracle.on_device(p, "float32")
    lengths = jnp.arange(rows) % 8 if rows == 18 else None
    monkeypatch.setattr(tpu_tiles, "chosen", lambda *_: tile)
    assert_sweeps_agree(oracle, p, arrays, cotangents, lengths, reverse, True)


def test_eight_steps_of_one_iteration(oracle, monkeypatch):
    """As a TPU takes 16 bits; time ends inside the second block."""
    shape = Shape("eight", 11, 4, 2, 3, lengths=True, reverse=True)
    p = oracle.problem(shape)
    monkeypatch.setattr(tpu_tiles, "chosen", lambda *_: Tile(4, 8, 0))
    with jax.enable_x64(True):
        arrays, cotangents = oracle.on_device(p, "float64")
        run = oracle.compiled(p, jit=oracle.quickly, backend=HERE)
        outputs, gradient = run(arrays, cotangents)
    oracle.near(outputs, oracle.forward(p), 1e-13)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), 1e-11, 1e-11)


@pytest.mark.parametrize("steps", [16, 20])
def test_more_steps_of_one_iteration(steps, oracle, monkeypatch):
    """As a v6e takes many rows where no gates are kept; resets never come in 20s."""
    shape = Shape("more", steps + 3, 4, 2, 3, 0, False, True, steps == 16, True)
    p = oracle.problem(shape)
    monkeypatch.setattr(tpu_tiles, "chosen", lambda *_: Tile(4, steps, 0))
    with jax.enable_x64(True):
        arrays, _ = oracle.on_device(p, "float64")
        run = oracle.quickly(functools.partial(lstm, backend=HERE, **p.options()))
        y, last = run(*arrays[:3], h_mask=arrays.h_mask)
    want = oracle.forward(p)
    oracle.near((y, *last), (want.y, want.h, want.c), 1e-13)


def test_more_rows_than_are_added_up_in_parts(oracle):
    """From 129 rows on a product in 16 bits is as deep as h, here of two pieces."""
    p = oracle.problem(Shape("tall", 2, FEW + 1, 2, 300), "bfloat16", scale=0.4)
    arrays, cotangents = oracle.on_device(p, "bfloat16")
    run = oracle.compiled(p, jit=oracle.quickly, backend=HERE)
    outputs, gradient = run(arrays, cotangents)
    far_y, far_c, far_gradient = GATES["bfloat16"]
    want = oracle.forward(p)
    oracle.near(outputs._replace(c=0.0), want._replace(c=0.0), far_y)
    oracle.near(outputs.c, want.c, far_c)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=far_gradient)


def test_more_steps_than_one_block_of_reset_flags_holds(oracle, monkeypatch):
    shape = Shape("long", 300, 2, 2, 3, resets=True)
    p = oracle.problem(shape, "float32")
    arrays, cotangents = oracle.on_device(p, "float32")
    monkeypatch.setattr(tpu_tiles, "chosen", lambda *_: Tile(2, 2, 0))
    assert_sweeps_agree(oracle, p, arrays, cotangents, None, True, True)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_a_simulated_tpu_agrees(reverse, oracle):
    """TPU interpret mode: memories apart, copies between them as on the device, and
    memory that nothing was written to holds NaN."""
    shape = Shape("tpu", 5, 12, 2, 130, resets=True, h_mask=True, peephole=True)
    p = oracle.problem(shape, "float32")
    arrays, cotangents = oracle.on_device(p, "float32")
    simulated = pltpu.InterpretParams(uninitialized_memory="nan", detect_races=True)
    lengths = jnp.arange(12) % 6
    assert_sweeps_agree(oracle, p, arrays, cotangents, lengths, reverse, simulated)


def assert_sweeps_agree(oracle, p, arrays, cotangents, lengths, reverse, interpret):
    x, weights, state, h_mask = arrays
    operands = Operands(x.swapaxes(0, 1), weights, state, h_mask)
    core = gradients.core(operands, Masks(lengths, jnp.asarray(p.resets).T))
    dlast = LstmState(cotangents.h, cotangents.c)
    dy = cotangents.y.swapaxes(0, 1)

    def both(forward, backward):
        swept = forward(
            gradients.input_gates(operands.x, weights), core, reverse, "gates"
        )
        back = backward(swept.gates, swept.cells, core, reverse, dy, dlast)
        valid = jnp.arange(p.shape.time)[:, None] < (99 if lengths is None else lengths)
        seen = [jnp.where(valid[..., None], a, 0) for a in (swept.gates, swept.cells)]
        return swept.y, swept.last, seen, back

    def forward(*arguments):
        return pallas_tpu.forward(*arguments, interpret=interpret)

    def backward(*arguments):
        return pallas_tpu.backward(*arguments, interpret=interpret)

    oracle.near(both(forward, backward), both(xla.forward, xla.backward), 5e-6)


@pytest.fixture(scope="module")
def slopes(oracle):
    return oracle.slopes(CASES["ragged"], HERE)


@pytest.mark.parametrize("mapped", ["x", "weights", "both"])
def test_vmap_is_a_loop(mapped, slopes, oracle):
    oracle.vmap_is_a_loop(mapped, slopes)


def test_gradient_of_the_gradient_norm(oracle):
    p = oracle.problem(CASES["ragged"], "float32")
    arrays, cotangents = oracle.on_device(p, "float32")

    def critic(backend):
        def value(x, weights):
            y, last = lstm(x, weights, arrays.state, backend=backend, **p.options())
            return jnp.vdot(y, cotangents.y) + jnp.vdot(last.c, cotangents.c)

        def penalty(x, weights):
            return jnp.sum(jax.grad(value)(x, weights) ** 2)

        return oracle.quickly(jax.grad(penalty, (0, 1)))(*arrays[:2])

    oracle.near(critic(HERE), critic("reference"), relative=1e-5)


def test_no_steps_and_no_rows(oracle):
    for shape in (Shape("no_steps", 0, 3, 2, 4), Shape("no_rows", 3, 0, 2, 4)):
        p = oracle.problem(shape, "float32")
        arrays, cotangents = oracle.on_device(p, "float32")
        run = oracle.compiled(p, backend=HERE)
        outputs, gradient = run(arrays, cotangents)
        np.testing.assert_array_equal(outputs.h, arrays.state.h)
        np.testing.assert_array_equal(gradient.state.c, cotangents.c)
        assert not any(np.asarray(g).any() for g in jax.tree.leaves(gradient.weights))


@pytest.fixture(scope="module")
def given(oracle):
    """A call in float32, and a compiled function of its arrays and cotangents."""
    p = oracle.problem(CASES["odd"], "float32")
    run = oracle.compiled(p, jit=oracle.quickly, backend=HERE)
    return p, *oracle.on_device(p, "float32"), run


def compare_in_float32(oracle, p, found):
    outputs, gradient = found
    oracle.near(outputs, oracle.forward(p), 2e-6)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=5e-6)


@pytest.mark.parametrize("swap", [(0, 1), (1, 3), (0, 2)], ids=str)
def test_another_gate_order_is_caught(swap, oracle, given):
    """Columns of wh in another order than i, f, g, o."""
    p, arrays, cotangents, run = given
    compare_in_float32(oracle, p, run(arrays, cotangents))
    wh = oracle.swapped(arrays.weights.wh, *swap)
    planted = arrays._replace(weights=arrays.weights._replace(wh=wh))
    with pytest.raises(AssertionError, match=r"\.y"):
        compare_in_float32(oracle, p, run(planted, cotangents))


@pytest.mark.parametrize("gate", range(4), ids=["i", "f", "g", "o"])
def test_a_wrong_sign_of_any_gate_is_caught(gate, oracle, given, monkeypatch):
    p, arrays, cotangents, run = given
    compare_in_float32(oracle, p, run(arrays, cotangents))
    right = tpu_kernels._through_gates

    def planted(*arguments):
        dz, dc = right(*arguments)
        return tuple(-part if n == gate else part for n, part in enumerate(dz)), dc

    monkeypatch.setattr(tpu_kernels, "_through_gates", planted)
    run = oracle.compiled(p, jit=oracle.quickly, backend=HERE)
    with pytest.raises(AssertionError, match=r"\.x"):
        compare_in_float32(oracle, p, run(arrays, cotangents))


def test_time_must_go_in_order(oracle, monkeypatch):
    """Mosaic takes "parallel" for the axis of time without a word."""
    seen = []
    right = pl.pallas_call

    def spy(*arguments, **options):
        seen.append(options["compiler_params"].dimension_semantics)
        return right(*arguments, **options)

    monkeypatch.setattr(pl, "pallas_call", spy)
    p = oracle.problem(CASES["smallest"], "float32")
    oracle.compiled(p, backend=HERE)(*oracle.on_device(p, "float32"))
    assert seen == [("parallel", "arbitrary")] * 2
