"""Choosing symbols: shares of many draws against the closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.sampling import Sampling, choose, continue_streams, keep

SHARES = np.array([0.4, 0.3, 0.2, 0.06, 0.04])
DRAWS = 20_000


def shares(how):
    keys = jax.random.split(jax.random.key(0), DRAWS)
    logits = jnp.broadcast_to(jnp.log(SHARES), (DRAWS, 5))
    chosen = jax.jit(choose, static_argnames="how")(keys, logits, how=how)
    return np.bincount(chosen, minlength=5) / DRAWS


def normalised(weights):
    return np.asarray(weights) / np.sum(weights)


@pytest.mark.parametrize(
    ("how", "want"),
    [
        (Sampling(), SHARES),
        (Sampling(temperature=0.5), normalised(SHARES**2)),
        (Sampling(top_k=2), normalised([0.4, 0.3, 0, 0, 0])),
        (Sampling(nucleus=0.75), normalised([0.4, 0.3, 0.2, 0, 0])),
        (Sampling(nucleus=0.39), [1, 0, 0, 0, 0]),
        (Sampling(top_k=3, nucleus=0.7), normalised([0.4, 0.3, 0, 0, 0])),
        (Sampling(temperature=0), [1, 0, 0, 0, 0]),
    ],
)
def test_shares_of_many_draws(how, want):
    # 4 standard errors of a share of a half are 0.014.
    np.testing.assert_allclose(shares(how), want, atol=0.015)


def test_what_is_kept_does_not_depend_on_the_order():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(7, 11))
    turn = rng.permutation(11)
    how = Sampling(nucleus=0.6)
    np.testing.assert_array_equal(
        keep(logits[:, turn], how), keep(logits, how)[:, turn]
    )


def test_a_stream_goes_on_where_it_stopped():
    """Two calls draw what one would: so a stream can be printed as it is drawn."""

    def predict(symbols, state):
        state = state + symbols[:, -1]
        return jnp.cos(state[:, None, None] * jnp.arange(1, 6)), state

    keys = jax.random.split(jax.random.key(4), 3)
    zeros = jnp.zeros(3, jnp.int32)
    whole, _ = continue_streams(predict, keys, zeros, zeros, 0, 20, Sampling())
    first, state = continue_streams(predict, keys, zeros, zeros, 0, 8, Sampling())
    rest, _ = continue_streams(predict, keys, first[:, -1], state, 8, 12, Sampling())
    np.testing.assert_array_equal(jnp.concatenate([first, rest], 1), whole)
    assert len(np.unique(whole)) > 2


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"temperature": -0.1}, "--temperature is -0.1"),
        ({"temperature": 1e-7}, "--temperature is 1e-07: .*, or 1e-06 to 1e\\+06"),
        ({"temperature": float("inf")}, "--temperature is inf"),
        ({"temperature": float("nan")}, "--temperature is nan"),
        ({"top_k": 0}, "--top-k is 0"),
        ({"nucleus": 0.0}, "--nucleus is 0.0"),
        ({"nucleus": 1.1}, "--nucleus is 1.1"),
    ],
)
def test_settings_that_choose_nothing_are_refused(settings, line):
    with pytest.raises(UserError, match=line):
        Sampling(**settings).refuse_wrong()
