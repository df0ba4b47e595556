"""Series as inputs and targets, and series drawn step by step."""

import jax
import jax.numpy as jnp
import numpy as np

from research.encodings import series

SHAPE = (6, 2)
SURE = [-1e4, -1e4, 0]  # as narrow as can be, channels apart


def test_a_step_is_predicted_from_the_one_before_and_the_first_from_none():
    frames = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    frames[1, 1, 0] = np.nan  # missing
    batch = {"frames": jnp.array(frames), "lengths": jnp.array([4, 4, 2])}
    inputs, targets = series.encode(batch, None)
    np.testing.assert_array_equal(inputs[:, 0], [[0, 0, 1]] * 3)
    np.testing.assert_array_equal(inputs[0, 1:, :2], frames[0, :3])
    assert not inputs[0, 1:, 2].any()
    np.testing.assert_array_equal(inputs[1, :, 2], [1, 0, 1, 0])
    np.testing.assert_array_equal(inputs[1, 2], [0, 0, 1])
    np.testing.assert_array_equal(targets[:2], frames[:2])
    np.testing.assert_array_equal(targets[2, :2], frames[2, :2])
    assert jnp.isnan(targets[2, 2:]).all()


def test_a_drawn_step_follows_the_one_before_by_the_model():
    """A model that begins at (5, −1), and adds 1 to the one channel, 2 to the other."""

    def predict(inputs, state):
        first = inputs[:, 0, 2:]
        mean = inputs[:, 0, :2] + jnp.array([1.0, 2.0])
        mean = jnp.where(first == 1, jnp.array([5.0, -1.0]), mean)
        sure = jnp.broadcast_to(jnp.array(SURE, jnp.float32), (len(mean), 3))
        return jnp.concatenate([mean, sure], 1)[:, None], state + 1

    keys = jax.random.split(jax.random.key(0), 4)
    drawn = series.draw_shaped(predict, jnp.zeros(4), keys, SHAPE)
    assert drawn.shape == (4, *SHAPE)
    want = np.array([5, -1]) + np.array([1, 2]) * np.arange(6)[:, None]
    # Six steps of noise, 0.001 each.
    np.testing.assert_allclose(drawn, np.broadcast_to(want, drawn.shape), atol=0.02)


def test_each_series_is_drawn_by_its_own_key_and_as_the_gaussian_says():
    """Deviations of 1, the second channel's that of the first and as much again."""
    unit = np.log(np.e - 1)  # softplus of it is 1

    def predict(inputs, state):
        outputs = jnp.array([0, 0, unit, unit, 1], jnp.float32)
        return jnp.broadcast_to(outputs, (len(inputs), 1, 5)), state

    keys = jax.random.split(jax.random.key(1), 2_000)
    drawn = np.asarray(series.draw_shaped(predict, None, keys, SHAPE))
    # 12,000 pairs: standard error of a covariance about 0.015.
    covariance = np.cov(drawn.reshape(-1, 2).T)
    np.testing.assert_allclose(covariance, [[1, 1], [1, 2]], atol=0.07)
    alone = series.draw_shaped(predict, None, keys[7:8], SHAPE)
    np.testing.assert_allclose(alone[0], drawn[7], rtol=1e-6)
    steps = drawn[:, :, 0]
    assert abs(np.corrcoef(steps[:, 0], steps[:, 1])[0, 1]) < 0.1
