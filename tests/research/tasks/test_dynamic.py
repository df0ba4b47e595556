"""Text read in order by a model that goes on learning, beside what is done by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.media import text as medium
from research.metrics.measured import mean
from research.sources.streams import Text
from research.tasks import _dynamic

SEED = 3
RATE = 0.2


def squares(params, tokens, memory):
    """Two weights of a made-up cost whose gradient is told by hand, and a sum kept."""
    tokens = tokens[0].astype(jnp.float32)
    error = params["a"] * tokens[:-1] + params["b"] + memory - tokens[1:]
    return jnp.mean(error**2), memory + tokens[-1]


def by_hand(a, b, memory, tokens):
    """Cost, gradient and memory of `squares` in float64."""
    x, y = tokens[:-1].astype(float), tokens[1:].astype(float)
    error = a * x + b + memory - y
    gradient = np.array([2 * np.mean(error * x), 2 * np.mean(error)])
    return np.mean(error**2), gradient, memory + y[-1]


@pytest.mark.parametrize("rate", [0.0, RATE])
def test_each_window_is_scored_then_learned_as_by_hand(rate):
    rng = np.random.default_rng(SEED)
    seen = rng.integers(0, 3, (2, 4, 5)).astype(np.int32)
    text = rng.integers(0, 3, (6, 5)).astype(np.int32)
    a, b = 0.5, -0.25
    found = jax.jit(_dynamic.read, static_argnums=0)(
        squares, {"a": a, "b": b}, jnp.float32(0), seen, text, rate
    )
    total = np.zeros(2)
    for run in seen:
        memory = 0.0
        for tokens in run:
            _, gradient, memory = by_hand(a, b, memory, tokens)
            total += gradient**2
    sizes = np.sqrt(total / 8)
    wanted, weights, memory = [], np.array([a, b]), 0.0
    for tokens in text:
        nats, gradient, memory = by_hand(*weights, memory, tokens)
        wanted.append(nats)
        weights = weights - rate * gradient / (sizes + sizes.mean())
    np.testing.assert_allclose(found, wanted, rtol=1e-4, err_msg=f"seed {SEED}")


def test_windows_go_on_where_the_one_before_ended():
    content = np.random.default_rng(SEED).integers(97, 107, 9_000, np.uint8).tobytes()
    text = Text("letters", lambda: content, 4, 6)
    train, test = (text.load(split) for split in ("train", "test"))
    seen, held_out = text.in_order(train, test)
    start = len(train.arrays["text"])
    for i, window in enumerate(held_out):
        assert window.tobytes() == _wide(content[start + 6 * i :][:7])
    assert len(held_out) == (len(content) - start - 1) // 6
    assert seen.shape == (10, 20, 7)
    assert seen[0].tobytes() == b"".join(_wide(content[6 * i :][:7]) for i in range(20))
    assert seen[-1, -1].tobytes() == _wide(content[start - 7 : start])
    few = train._replace(arrays={"text": train.arrays["text"][:50]})
    seen, _ = text.in_order(few, test)
    assert seen.shape == (10, 8, 7)


def _wide(content: bytes) -> bytes:
    return np.frombuffer(content, np.uint8).astype(np.int32).tobytes()


def test_neighbours_are_one_sample_of_the_interval():
    nats = np.repeat(np.random.default_rng(SEED).normal(1, 0.2, 20), 16)
    found = medium.read_in_order(nats, 512)["dynamic_bits_per_byte"]
    wanted = mean(nats / np.log(2), "bits a byte", np.arange(320) // 16)
    assert found == wanted
    assert found.high - found.low > 2 * (mean(nats, "").high - mean(nats, "").low)
