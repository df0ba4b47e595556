"""One step of an LSTM layer is the cell's op, and many are the sweep's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.layers.lstm import LstmLayer


@pytest.mark.parametrize("options", [{}, {"projection": 3}, {"peephole": True}])
def test_step_by_step_is_the_whole_sequence(options):
    """Decoding takes the cell's own op, with and without a mask on h."""
    layer = LstmLayer(5, recurrent_dropout=0.5, **options)
    x = jax.random.normal(jax.random.key(0), (2, 4, 3))
    start = layer.start(2)
    params = layer.init(jax.random.key(1), x)
    for train in (False, True):
        how = {"train": train, "rngs": {"dropout": jax.random.key(2)}}
        want, last = layer.apply(params, x, start, **how)
        state, found = start, []
        for step in range(4):
            y, state = layer.apply(params, x[:, step : step + 1], state, **how)
            found.append(y)
        np.testing.assert_allclose(jnp.concatenate(found, 1), want, atol=1e-6)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state, last
        )
