"""The fused GPU cell in the interpreter of Pallas, against the oracle."""

import jax.numpy as jnp
import pytest

from kernels.lstm import pallas_gpu_cell
from kernels.lstm.cases import Shape, tagged
from kernels.lstm.pallas_gpu_cell import Tile

HERE = "kernels.lstm.interpreted_gpu_cell"
CASES = {case.name: case for case in tagged("test")}
# y, c, then relative L2 of each gradient: the gates of test_lstm_values.py.
GATES = {
    "float32": (2e-6, 2e-6, 5e-6),
    "bfloat16": (8e-3, 8e-3, 2e-2),
    "float16": (1e-3, 1e-3, 5e-3),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("everything_reversed", "float32"),
        ("everything", "bfloat16"),
    ],
)
def test_values_and_gradients(name, dtype, oracle):
    p = oracle.problem(CASES[name], dtype, scale=0.4)
    arrays, cotangents = oracle.on_device(p, dtype)
    assert_right(oracle, p, dtype, oracle.compiled(p, backend=HERE)(arrays, cotangents))


@pytest.mark.parametrize("projected", [20, 90], ids=["fewer blocks", "more blocks"])
def test_many_tiles_are_one_product(projected, oracle, monkeypatch):
    """Pieces of dz are shared out to fewer blocks than pieces, and to more."""
    monkeypatch.setattr(pallas_gpu_cell, "tile", lambda *_: Tile(16, 16, 16, 4, 2))
    shape = Shape("tiles", 2, 18, 2, 50, projected, peephole=True, resets=True)
    p = oracle.problem(shape, "float16", scale=0.2)
    arrays, cotangents = oracle.on_device(p, "float16")
    got = oracle.compiled(p, backend=HERE)(arrays, cotangents)
    assert_right(oracle, p, "float16", got)


def assert_right(oracle, p, dtype, got):
    outputs, gradient = got
    assert outputs.y.dtype == outputs.h.dtype == jnp.dtype(dtype)
    assert outputs.c.dtype == jnp.float32
    far_y, far_c, far_gradient = GATES[dtype]
    want = oracle.forward(p)
    oracle.near(outputs._replace(c=0.0), want._replace(c=0.0), far_y)
    oracle.near(outputs.c, want.c, far_c)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=far_gradient)
