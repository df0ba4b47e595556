"""A call traced for an absent platform chooses as it would there, and can be seen."""

import jax
import jax.numpy as jnp
import pytest

from kernels import LstmWeights, lstm, target
from kernels.lstm import choices, tpu_tiles

WEIGHTS = LstmWeights(jnp.ones((2, 8)), jnp.ones((2, 8)), jnp.ones(8))
X = jax.ShapeDtypeStruct((16, 3, 2), jnp.float32)


def test_calls_are_traced_for_the_platform_asked_for():
    assert target.platform() == jax.default_backend()
    with choices.watched() as seen:
        jax.eval_shape(lambda x: lstm(x, WEIGHTS), X)
        with target.tracing_for("gpu"):
            jax.eval_shape(lambda x: lstm(x, WEIGHTS), X)
        with tpu_tiles.compiling_for("v5e"):
            jax.eval_shape(lambda x: lstm(x, WEIGHTS, backend="reference"), X)
    assert [choice.case.platform for choice in seen] == ["cpu", "gpu", "tpu"]
    assert [choice.case.batch for choice in seen] == [16] * 3
    assert seen[2].backend == "reference"


def test_nobody_watches_after_the_block_or_an_error():
    with (
        pytest.raises(RuntimeError),
        choices.watched() as seen,
        target.tracing_for("gpu"),
    ):
        raise RuntimeError
    jax.eval_shape(lambda x: lstm(x, WEIGHTS), X)
    assert seen == []
    assert target.platform() == jax.default_backend()
