"""Frames as inputs and targets, and pieces drawn frame by frame."""

import jax
import jax.numpy as jnp
import numpy as np

from research.encodings import frames
from research.outcomes import OUTCOMES


def test_each_frame_is_predicted_from_the_one_before_and_padding_is_not_scored():
    rng = np.random.default_rng(0)
    played = rng.random((2, 4, 88)) < 0.1
    batch = {"frames": jnp.array(played), "lengths": jnp.array([4, 2])}
    inputs, targets = frames.encode(batch, None)
    assert not inputs[:, 0].any()
    np.testing.assert_array_equal(inputs[:, 1:], played[:, :-1])
    np.testing.assert_array_equal(targets[0], played[0])
    np.testing.assert_array_equal(targets[1, :2], played[1, :2])
    assert (targets[1, 2:] == -1).all()
    losses, scored = OUTCOMES[frames.OUTCOME].losses(jnp.zeros((2, 4, 88)), targets, 0)
    np.testing.assert_array_equal(scored, [[1, 1, 1, 1], [1, 1, 0, 0]])
    np.testing.assert_allclose(losses, 88 * np.log(2) * np.array(scored), rtol=1e-6)
    first = frames.measure(jnp.zeros((2, 4, 88)), targets)["first_frame_nats"]
    np.testing.assert_allclose(first, 88 * np.log(2), rtol=1e-6)


def test_a_drawn_frame_follows_the_one_before_by_the_model():
    """A model that moves the sounding key up by one, and starts at key 3."""

    def predict(before, state):
        moved = jnp.roll(before[:, 0], 1, axis=-1)
        start = jax.nn.one_hot(3, 88)
        sure = jnp.where(state[:, None] == 0, start, moved)
        return (100 * sure - 50)[:, None], state + 1

    keys = jax.random.split(jax.random.key(0), 5)
    drawn = frames.draw(predict, jnp.zeros(5), keys)
    assert drawn.shape == (5, frames.DRAWN, 88)
    want = np.eye(88, dtype=bool)[3 + np.arange(frames.DRAWN)]
    np.testing.assert_array_equal(drawn, np.repeat(want[None], 5, 0))


def test_each_piece_is_drawn_by_its_own_key_and_as_often_as_the_model_says():
    def predict(before, state):
        return jnp.full(before.shape, np.log(0.2 / 0.8)), state

    keys = jax.random.split(jax.random.key(1), 50)
    drawn = np.asarray(frames.draw(predict, None, keys))
    # 281,600 draws: standard error 0.00075.
    assert abs(drawn.mean() - 0.2) < 0.004
    np.testing.assert_array_equal(frames.draw(predict, None, keys[7:8])[0], drawn[7])
    assert not np.array_equal(drawn[0], drawn[1])
