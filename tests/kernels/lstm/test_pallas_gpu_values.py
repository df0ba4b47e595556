"""The GPU kernels in Mosaic GPU's interpreter, against the float64 oracle.

One block does all of a tile: the interpreter has no barrier between blocks. What the
blocks tell each other is held to the compiler's output in test_pallas_gpu_compiled.py.
"""

import re

import jax
import jax.numpy as jnp
import pytest
from jax._src.pallas.mosaic_gpu.interpret import gpu_callbacks

from kernels import LstmState, LstmWeights, lstm
from kernels.lstm import gpu_tiles, gradients, interpreted_gpu, xla
from kernels.lstm.backend import Backend
from kernels.lstm.cases import Shape
from kernels.lstm.spec import Masks, Operands

XLA = Backend(xla.supports, xla.forward, xla.backward, "store")
HERE = "kernels.lstm.interpreted_gpu"
# All that a call may have, in both directions.
ALL = {
    reverse: Shape("gpu_everything", 5, 4, 2, 5, 0, True, True, True, True, reverse)
    for reverse in (False, True)
}
# y, c, then relative L2 of each gradient: the gates of test_lstm_values.py.
GATES = {"bfloat16": (8e-3, 8e-3, 2e-2), "float16": (1e-3, 1e-3, 5e-3)}


@pytest.fixture
def _no_races():
    """What the interpreter saw of two accesses that nothing orders."""
    yield
    found = gpu_callbacks.get_races().races_found
    gpu_callbacks.reset_gpu_interpret_mode_state()
    assert not found


@pytest.mark.usefixtures("_no_races")
@pytest.mark.parametrize(("reverse", "dtype"), [(False, "float16"), (True, "bfloat16")])
def test_values_and_gradients(reverse, dtype, oracle):
    p = oracle.problem(ALL[reverse], dtype, scale=0.4)
    arrays, cotangents = oracle.on_device(p, dtype)
    outputs, gradient = oracle.compiled(p, backend=HERE)(arrays, cotangents)
    assert outputs.y.dtype == outputs.h.dtype == jnp.dtype(dtype)
    assert outputs.c.dtype == jnp.float32
    far_y, far_c, far_gradient = GATES[dtype]
    want = oracle.forward(p)
    oracle.near(outputs._replace(c=0.0), want._replace(c=0.0), far_y)
    oracle.near(outputs.c, want.c, far_c)
    oracle.near(gradient, oracle.gradient(p, p.cotangents), relative=far_gradient)


@pytest.mark.usefixtures("_no_races")
def test_rows_beyond_one_tile_and_cells_that_fill_none(oracle):
    """Two tiles of 40 rows for 66, 128 cells for 70, and no mask of any kind."""
    p = oracle.problem(Shape("gpu_tiles", 2, 66, 2, 70), "float16", scale=0.4)
    (x, weights, state, _), cotangents = oracle.on_device(p, "float16")
    operands = Operands(x.swapaxes(0, 1), weights, state, None)
    core = gradients.core(operands, Masks(None, None))
    xp = gradients.input_gates(operands.x, weights)
    dlast = LstmState(cotangents.h, cotangents.c)

    def both(backend):
        swept = backend.forward(xp, core, False, "gates")
        gates, cells = swept.gates, swept.cells
        dy = cotangents.y.swapaxes(0, 1)
        return swept, backend.backward(gates, cells, core, False, dy, dlast)

    assert gpu_tiles.row_tiles(66) == (2, 40)
    oracle.near(both(interpreted_gpu.BACKEND), both(XLA), relative=2e-3)


def test_mapped_launches_follow_each_other():
    """Pallas's own rule makes one launch of them, with one barrier for all."""
    sizes = ((3, 2, 256), (3, 64, 256), (3, 256))
    weights = LstmWeights(*(jnp.zeros(size, "bfloat16") for size in sizes))

    def run(weights):
        return lstm(jnp.zeros((1, 2, 2), "bfloat16"), weights, backend=HERE)[0]

    alone, many = (
        str(jax.make_jaxpr(f)(w))
        for f, w in (
            (run, jax.tree.map(lambda a: a[0], weights)),
            (jax.vmap(run), weights),
        )
    )
    assert "length=3" not in alone
    assert many.count("length=3") == 1
    for text in (alone, many):
        assert re.findall(r"Mesh\(grid=(\(.*?\)),", text) == ["(1, 1)"]
