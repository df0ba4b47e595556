"""Initial biases for long memories (Tallec & Ollivier 2018)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.layers.lstm import chrono, forget_one
from research.models.stacked_lstm import Model


def test_forget_biases_are_logs_of_even_times_and_input_biases_their_negatives():
    i, f, g, o = np.split(np.asarray(chrono(101, jax.random.key(0), (40_000,))), 4)
    times = np.exp(f)
    assert 1 <= times.min() < 1.1
    assert 99.9 < times.max() <= 100.001
    # Even in [1, 100]: mean 50.5 and standard error 0.29 over 10,000.
    assert abs(times.mean() - 50.5) < 1.2
    np.testing.assert_array_equal(i, -f)
    assert not g.any()
    assert not o.any()


def test_the_model_begins_with_them_where_it_is_told_to():
    x = jnp.zeros((1, 2, 3))

    def bias(longest):
        module = Model(hidden=4, layers=1, longest=longest).module()
        variables = module.init(jax.random.key(0), x)
        return variables["params"]["layers"]["bottom"]["b"]

    np.testing.assert_array_equal(bias(0), forget_one(jax.random.key(0), (16,)))
    assert (bias(50)[4:8] > 0).all()
    assert (bias(50)[:4] < 0).all()
    with pytest.raises(UserError, match=r"model.longest is -1"):
        Model(longest=-1).module()
