"""float32 stays float32: no matrix product outside the kernels rounds its factors.

A TPU's matrix unit rounds float32 factors to bfloat16, a GPU's to TF32, unless each
product says otherwise; a CPU does not, so that no value tested here would tell.
"""

import re

import jax
import jax.numpy as jnp
import pytest

from kernels import LstmState, LstmWeights, lstm, lstm_cell
from kernels.lstm import tpu_tiles

BATCH, TIME, FEATURES, HIDDEN, PROJECTED = 8, 5, 16, 32, 24
EXACT = "precision = [HIGHEST, HIGHEST]"


def arrays(dtype, projected=HIDDEN):
    def like(*shape, dtype=dtype):
        return jax.ShapeDtypeStruct(shape, dtype)

    projection = like(HIDDEN, PROJECTED) if projected == PROJECTED else None
    weights = LstmWeights(
        like(FEATURES, 4 * HIDDEN),
        like(projected, 4 * HIDDEN),
        like(4 * HIDDEN),
        like(3, HIDDEN),
        projection,
    )
    state = LstmState(like(BATCH, projected), like(BATCH, HIDDEN, dtype=jnp.float32))
    return like(BATCH, TIME, FEATURES), weights, state, like(BATCH, projected)


def products(run, *operands):
    """The matrix products of a TPU's program outside its kernels, a line each."""
    with tpu_tiles.compiling_for("v5e"):
        traced = jax.jit(run).trace(*operands)
        text = traced.lower(lowering_platforms=("tpu",)).as_text()
    return re.findall(r".*stablehlo\.dot_general.*", text)


def squares(tree):
    return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("backend", ["xla", "pallas_tpu", "reference"])
@pytest.mark.parametrize("residuals", ["store", "recompute"])
def test_every_product_of_float32_is_of_whole_float32(backend, residuals):
    """The call, its gradient, and the gradient of that one's norm."""
    projected = PROJECTED if backend != "pallas_tpu" else HIDDEN

    def value(x, weights, state, mask):
        options = {"backend": backend, "residuals": residuals, "h_mask": mask}
        return squares(lstm(x, weights, state, **options))

    def penalty(*operands):
        return squares(jax.grad(value, (0, 1, 2, 3))(*operands))

    found = products(jax.grad(penalty, (0, 1)), *arrays(jnp.float32, projected))
    assert len(found) > 10
    for line in found:
        assert EXACT in line
    for run in (value, jax.grad(value, (0, 1, 2, 3))):
        own = products(run, *arrays(jnp.float32, projected))
        assert own
        assert all(EXACT in line for line in own)


def test_one_step_is_of_whole_float32_too_and_bfloat16_is_not_slowed():
    def step(x, weights, state, mask):
        return lstm_cell(x[:, 0], state, weights, h_mask=mask, backend="reference")

    found = products(step, *arrays(jnp.float32))
    assert len(found) == 2
    assert all(EXACT in line for line in found)
    narrow = products(step, *arrays(jnp.bfloat16))
    assert len(narrow) == 2
    assert not any("HIGH" in line for line in narrow)
