"""Vectors of symbols on every platform, beside float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import target
from research.layers import embedding

SEED = 5
SYMBOLS, WIDTH = 11, 4
rng = np.random.default_rng(SEED)
TABLE = rng.normal(size=(SYMBOLS, WIDTH)).astype(np.float32)
CHOSEN = rng.integers(0, 3, (40, 30))  # few of them, often
COTANGENT = rng.normal(size=(40, 30, WIDTH)).astype(np.float32)


def value_and_gradient(platform, dtype):
    def traced(table):
        return embedding.vectors(table, CHOSEN)

    with target.tracing_for(platform):
        table = jnp.asarray(TABLE, dtype)
        jaxpr = str(jax.make_jaxpr(traced)(table))
        found, back = jax.vjp(traced, table)
        (gradient,) = back(jnp.asarray(COTANGENT, dtype))
    return jaxpr, found, gradient


@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_rows_and_the_sums_of_their_gradients(platform, dtype):
    jaxpr, found, gradient = value_and_gradient(platform, dtype)
    assert ("dot_general" in jaxpr) == (platform != "cpu")
    np.testing.assert_array_equal(found, jnp.asarray(TABLE, dtype)[CHOSEN])
    wanted = np.zeros((SYMBOLS, WIDTH))
    sent = np.asarray(jnp.asarray(COTANGENT, dtype), np.float64)
    np.add.at(wanted, CHOSEN, sent)
    if platform != "cpu" or dtype == "float32":  # a CPU's scatter rounds each addition
        scale = np.abs(wanted).max()
        error = np.abs(np.asarray(gradient, np.float64) - wanted).max() / scale
        assert error < {"float32": 1e-6, "bfloat16": 2**-8}[dtype], f"seed {SEED}"


def test_of_many_symbols_no_product_is_made():
    table = jnp.zeros((embedding.MANY + 1, 2))
    with target.tracing_for("gpu"):
        jaxpr = jax.make_jaxpr(lambda t: embedding.vectors(t, CHOSEN))(table)
    assert "dot_general" not in str(jaxpr)
