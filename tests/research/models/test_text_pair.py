"""The writer of texts: Gumbel noise, exact draws, and a temperature that falls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.models import text_pair

MODEL = text_pair.Model(
    length=4, hidden=5, symbols=3, first_temperature=2.0, last_temperature=0.5
)


@pytest.fixture(scope="module")
def writer():
    """The module, and its weights with logits that are far from even."""
    module = MODEL.generator()
    z = jnp.zeros((2, MODEL.latent))
    params = module.init(jax.random.key(0), z, train=False)["params"]
    return module, jax.tree.map(lambda leaf: 3 * leaf, params)


def write(writer, z, **how):
    module, params = writer
    return module.apply({"params": params}, z, **({"train": False} | how))


def test_a_draw_is_from_the_softmax_of_the_logits(writer):
    """The first symbol's logits depend on no other: their frequencies are known."""
    count = 20_000
    z = jax.random.normal(jax.random.key(1), (count, MODEL.latent))
    texts = jax.jit(lambda z: write(writer, z))(z)
    assert texts.shape == (count, 4, 256)
    assert set(np.unique(texts)) == {0, 1}
    np.testing.assert_array_equal(texts.sum(-1), 1)
    assert not texts[..., 3:].any()
    dense, cell = (writer[1]["ScanStep_0"][n] for n in ("Dense_0", "LstmCell_0"))
    i, _, g, o = jnp.split(cell["b"], 4)  # from the zero state, after no symbol
    h = jax.nn.sigmoid(o) * jnp.tanh(jax.nn.sigmoid(i) * jnp.tanh(g))
    want = jax.nn.softmax(h @ dense["kernel"] + dense["bias"])
    got = texts[:, 0, :3].mean(0)
    np.testing.assert_allclose(got, want, atol=4 * np.sqrt(0.25 / count))


def test_soft_samples_sharpen_into_the_drawn_ones(writer):
    """Of one noise: soft at the first step, nearer to the draw at the last one."""
    z = jax.random.normal(jax.random.key(2), (64, MODEL.latent))
    hard = write(writer, z)[:, 0]
    first, last = (write(writer, z, train=True, progress=p)[:, 0] for p in (0.0, 1.0))
    np.testing.assert_allclose(first.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(first.argmax(-1), hard.argmax(-1))
    assert (last.max(-1) > first.max(-1)).all()
    # softmax(a / τ): log shares of one temperature are those of another, scaled
    logs = [jnp.log(shares[:, :2]) for shares in (first, last)]
    gaps = [log[:, 0] - log[:, 1] for log in logs]
    np.testing.assert_allclose(2.0 * gaps[0], 0.5 * gaps[1], rtol=1e-3, atol=1e-3)


def test_straight_through_shows_the_draw_and_has_the_soft_gradient(writer):
    module = text_pair.Writer(
        text_pair.dataclasses.replace(MODEL, straight_through=True)
    )
    z = jax.random.normal(jax.random.key(3), (3, MODEL.latent))

    def first(module, params):
        out = module.apply({"params": params}, z, train=True, progress=0.3)
        return out[:, 0, 0]

    shown = first(module, writer[1])
    np.testing.assert_allclose(shown, write(writer, z)[:, 0, 0], atol=1e-6)
    hard, soft = (
        jax.grad(lambda params, m=m: first(m, params).sum())(writer[1])
        for m in (module, writer[0])
    )
    got, want = (t["ScanStep_0"]["Dense_0"]["bias"] for t in (hard, soft))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert jnp.abs(want).max() > 1e-3


def test_temperatures_and_symbols_that_mean_nothing_are_refused():
    with pytest.raises(UserError, match="last-temperature is 0"):
        text_pair.Model(last_temperature=0).generator()
    with pytest.raises(UserError, match="symbols is 300"):
        text_pair.Model(symbols=300).generator()
    for arrays in ({"text": np.array([97, 127], np.uint8)}, {"stream": np.zeros(1)}):
        text_pair.Model().refuse_data(arrays)
    with pytest.raises(UserError, match=r"symbols 128: .* up to 195; give 196 or more"):
        text_pair.Model().refuse_data({"text": np.array([195, 10], np.uint8)})
