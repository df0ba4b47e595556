"""Layer normalisation and zoneout beside loops in float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import LstmState, LstmWeights, lstm
from research.layers import normalised_lstm
from research.layers.dropout import Dropout, mask
from research.layers.lstm import LstmLayer
from research.layers.normalised_lstm import EPSILON, Norms, Zoneout

BATCH, TIME, FEATURES, HIDDEN = 3, 6, 5, 4
MEAN = Zoneout(0.0, 0.0, None)
rng = np.random.default_rng(29)


def normal(*shape, scale=0.6):
    return rng.normal(scale=scale, size=shape).astype(np.float32)


X = normal(BATCH, TIME, FEATURES)
WEIGHTS = LstmWeights(
    normal(FEATURES, 4 * HIDDEN), normal(HIDDEN, 4 * HIDDEN), normal(4 * HIDDEN)
)
STATE = LstmState(normal(BATCH, HIDDEN), normal(BATCH, HIDDEN))
NORMS = Norms(normal(16), normal(16), normal(4), normal(4))
COTANGENT = normal(BATCH, TIME, HIDDEN)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def norm(z):
    return (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + EPSILON)


def loop(x, weights, state, norms, h_rate=0.0, c_rate=0.0):
    """The papers' equations in float64, zoneout at its mean."""
    x, weights, state, norms = jax.tree.map(np.float64, (x, weights, state, norms))
    h, c, outputs = *state, []
    for t in range(TIME):
        z = norm(x[:, t] @ weights.wx) * norms.x_scale
        z = z + norm(h @ weights.wh) * norms.h_scale + weights.b
        i, f, g, o = np.split(z, 4, axis=1)
        new_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        shown = norm(new_c) * norms.c_scale + norms.c_bias
        new_h = sigmoid(o) * np.tanh(shown)
        h, c = h_rate * h + (1 - h_rate) * new_h, c_rate * c + (1 - c_rate) * new_c
        outputs.append(h)
    return np.stack(outputs, 1), h, c


@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.3, 0.1)])
def test_values_are_the_papers(rates):
    y, last = normalised_lstm.run(X, WEIGHTS, STATE, NORMS, Zoneout(*rates, None))
    want, h, c = loop(X, WEIGHTS, STATE, NORMS, *rates)
    for got, exact in ((y, want), (last.h, h), (last.c, c)):
        np.testing.assert_allclose(got, exact, atol=3e-6)


def test_gradient_is_the_slope_of_the_papers_loop():
    """Along a random direction of all inputs at once."""
    arrays = (X, WEIGHTS, STATE, NORMS)
    along = jax.tree.map(lambda a: normal(*a.shape), arrays)

    def value(arrays):
        return jnp.sum(normalised_lstm.run(*arrays, MEAN)[0] * COTANGENT)

    gradient = jax.jit(jax.grad(value))(arrays)
    got = sum(
        np.vdot(a, b)
        for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(along), strict=True)
    )

    def moved(by):
        there = jax.tree.map(lambda a, d: np.float64(a) + by * d, arrays, along)
        return np.sum(loop(*there)[0] * COTANGENT)

    slope = (moved(1e-6) - moved(-1e-6)) / 2e-6
    np.testing.assert_allclose(got, slope, rtol=2e-4)


def test_without_either_it_is_the_fused_layer():
    options = {
        "lengths": jnp.array([6, 0, 3]),
        "resets": jnp.asarray(rng.random((BATCH, TIME)) < 0.3),
        "h_mask": jnp.asarray(normal(BATCH, HIDDEN)),
        "reverse": True,
    }
    got = normalised_lstm.run(X, WEIGHTS, STATE, None, MEAN, **options)
    want = lstm(jnp.asarray(X), WEIGHTS, STATE, **options)
    near = lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6)  # noqa: E731
    jax.tree.map(near, got, want)


def test_zoneout_keeps_a_share_of_the_state():
    """Each entry is the old or the new one, drawn anew at each step."""
    batch = 4_000
    start = LstmState(jnp.full((batch, 2), 9.0), jnp.full((batch, 2), 0.5))
    x, weights = (
        jnp.zeros((batch, 2, 1)),
        LstmWeights(jnp.zeros((1, 8)), jnp.zeros((2, 8)), jnp.zeros(8)),
    )
    zoneout = Zoneout(0.3, 0.1, jax.random.key(3))
    y, last = normalised_lstm.run(x, weights, start, None, zoneout)
    kept = np.asarray(y) == 9.0  # new ones are at most 1
    assert abs(kept[:, 0].mean() - 0.3) < 0.02
    assert abs(kept[:, 1].mean() - 0.09) < 0.01  # twice in a row
    cells, counts = np.unique(np.round(last.c, 5), return_counts=True)
    np.testing.assert_allclose(cells, [0.125, 0.25, 0.5], atol=1e-5)  # halved or not
    np.testing.assert_allclose(counts / counts.sum(), [0.81, 0.18, 0.01], atol=0.015)


@pytest.mark.parametrize("name", ["recurrent_dropout", "weight_dropout"])
def test_dropout_is_one_mask_for_all_steps(name):
    """Every y is that of a mask held throughout, and every such mask is drawn."""
    hidden = 2 if name == "recurrent_dropout" else 1
    layer = LstmLayer(hidden, **{name: 0.5})
    wx, wh, b = (a[..., : 4 * hidden] for a in WEIGHTS[:3])
    weights, x = LstmWeights(wx, wh[:hidden], b), jnp.asarray(X[:1])
    dropped = wh[:1] if name == "weight_dropout" else np.ones((1, hidden))
    entries = dropped.size
    masks = (np.arange(2**entries)[:, None] >> np.arange(entries)) % 2 * 2.0
    run = jax.jit(lambda w, m: lstm(x, w, h_mask=m)[0])
    want = {}
    for held in np.float32(masks)[:, None]:
        if name == "recurrent_dropout":
            y = run(weights, held)
        else:
            y = run(weights._replace(wh=wh[:1] * held), np.ones((1, 1), np.float32))
        want[tuple(held[0])] = np.asarray(y)
    apply = jax.jit(layer.apply, static_argnames="train")
    params, seen = {"wx": weights.wx, "wh": weights.wh, "b": weights.b}, set()
    for key in range(120):
        rngs = {"dropout": jax.random.key(key)}
        y, _ = apply({"params": params}, x, train=True, rngs=rngs)
        gaps = {held: np.abs(y - of).max() for held, of in want.items()}
        nearest = min(gaps, key=gaps.__getitem__)
        assert gaps[nearest] < 1e-6
        seen.add(nearest)
    assert seen == set(want)


def test_masks_have_the_mean_1():
    drawn = np.asarray(mask(jax.random.key(5), 0.2, (200, 300), jnp.float32))
    assert set(np.unique(drawn)) == {0, np.float32(1) / np.float32(0.8)}
    assert abs(drawn.mean() - 1) < 0.01


def test_variational_dropout_is_the_same_at_every_step():
    dropout = Dropout(0.5, variational=True)
    x, rngs = jnp.ones((50, 6, 40)), {"dropout": jax.random.key(2)}
    y = np.asarray(dropout.apply({}, x, True, rngs=rngs))
    assert (y == y[:, :1]).all()
    assert len({row.tobytes() for row in y[:, 0]}) == 50
    each = np.asarray(Dropout(0.5).apply({}, x, True, rngs=rngs))
    assert (each != each[:, :1]).any()
