"""Penalties: closed forms, gradients per example, and the second derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import parts

NAMES = parts.names("research.penalties")
SHAPE = (5, 4, 3, 2)  # batch, height, width, channels


@pytest.fixture
def pictures():
    rng = np.random.default_rng(3)
    real, fake = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    return rng, jnp.asarray(real), jnp.asarray(fake)


def find(name):
    return parts.find("research.penalties", name).penalty


def smooth(weights, images):
    """D(x) = Σₖ vₖ tanh(wₖ·x), logits [batch]."""
    w, v = weights
    return jnp.tanh(images.reshape(len(images), -1) @ w) @ v


def weights_of(rng):
    pixels = int(np.prod(SHAPE[1:]))
    w = rng.normal(scale=0.3, size=(pixels, 6)).astype(np.float32)
    return w, rng.normal(size=6).astype(np.float32)


def half_squared_slope(w, v, images):
    """½ mean ‖Σₖ vₖ (1 − tanh²(wₖ·x)) wₖ‖² in float64."""
    x = np.float64(images).reshape(len(images), -1)
    slope = ((1 - np.tanh(x @ w) ** 2) * v) @ w.T
    return 0.5 * np.mean((slope**2).sum(1))


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_of_a_linear_discriminator_it_is_half_the_squared_weights(name, pictures):
    rng, real, fake = pictures
    a = rng.normal(size=SHAPE[1:])
    weights = jnp.float32(a)
    got = find(name)(lambda x: jnp.einsum("bhwc,hwc->b", x, weights), real, fake)
    np.testing.assert_allclose(got, 0.5 * (np.float32(a) ** 2).sum(), rtol=1e-5)


@pytest.mark.parametrize(("name", "place"), [("r1", 0), ("r2", 1)])
def test_it_is_the_mean_over_per_example_gradients(name, place, pictures):
    """Against the closed form, and against vmap of the gradient of one picture."""
    rng, *images = pictures
    w, v = weights_of(rng)
    got = find(name)(lambda x: smooth((w, v), x), *images)
    want = half_squared_slope(np.float64(w), np.float64(v), images[place])
    np.testing.assert_allclose(got, want, rtol=1e-5)
    slope = jax.vmap(jax.grad(lambda x: smooth((w, v), x[None])[0]))(images[place])
    naive = 0.5 * jnp.mean(jnp.sum(slope**2, axis=(1, 2, 3)))
    np.testing.assert_allclose(got, naive, rtol=1e-5)


@pytest.mark.parametrize(("name", "place"), [("r1", 0), ("r2", 1)])
def test_its_gradient_is_the_second_derivative(name, place, pictures):
    """Against central differences of the closed form in float64."""
    rng, *images = pictures
    w, v = weights_of(rng)
    got_w, got_v = jax.grad(
        lambda weights: find(name)(lambda x: smooth(weights, x), *images)
    )((w, v))

    def difference(axis, index, step=1e-5):
        moved = [np.float64(w), np.float64(v)]
        sides = []
        for sign in (1, -1):
            shifted = [m.copy() for m in moved]
            shifted[axis][index] += sign * step
            sides.append(half_squared_slope(*shifted, images[place]))
        return (sides[0] - sides[1]) / (2 * step)

    for index in np.ndindex(*v.shape):
        np.testing.assert_allclose(got_v[index], difference(1, index), rtol=1e-3)
    for index in [(0, 0), (7, 3), (23, 5)]:
        want = difference(0, index)
        np.testing.assert_allclose(got_w[index], want, rtol=1e-3, atol=1e-5)


def test_r1_reads_real_and_r2_generated_pictures(pictures):
    rng, real, fake = pictures
    w, v = weights_of(rng)

    def discriminate(x):
        return smooth((w, v), x)

    far = 30 + fake  # tanh is flat there
    assert find("r1")(discriminate, real, far) == find("r1")(discriminate, real, fake)
    assert find("r2")(discriminate, real, fake) > 1e-2
    assert find("r2")(discriminate, real, 1e3 * fake) < 1e-2


@pytest.mark.parametrize("name", NAMES)
class TestEveryPenalty:
    """What holds for any penalty that a fork puts into the folder."""

    def test_is_finite_with_its_gradient_where_d_is_constant(self, name, pictures):
        """A norm's square root has no derivative at 0; a penalty has to have one."""
        rng, real, fake = pictures
        w, v = weights_of(rng)
        for weights in [(0 * w, v), (w, 0 * v), (0 * w, 0 * v)]:
            value, gradient = jax.value_and_grad(
                lambda p: find(name)(lambda x: smooth(p, x), real, fake)
            )(weights)
            assert value.shape == ()
            assert value.dtype == jnp.float32
            for leaf in (value, *gradient):
                assert jnp.isfinite(leaf).all()

    def test_does_not_depend_on_the_batch_s_size(self, name, pictures):
        rng, real, fake = pictures
        weights = weights_of(rng)

        def at(real, fake):
            return find(name)(lambda x: smooth(weights, x), real, fake)

        twice = at(jnp.tile(real, (2, 1, 1, 1)), jnp.tile(fake, (2, 1, 1, 1)))
        np.testing.assert_allclose(twice, at(real, fake), rtol=1e-5)

    def test_in_bfloat16_is_within_two_percent(self, name, pictures):
        rng, real, fake = pictures
        w, v = weights_of(rng)
        narrow = [jnp.asarray(a, jnp.bfloat16) for a in (w, v, real, fake)]
        got = find(name)(lambda x: smooth((narrow[0], narrow[1]), x), *narrow[2:])
        wide = [jnp.asarray(a, jnp.float32) for a in narrow]
        want = find(name)(lambda x: smooth((wide[0], wide[1]), x), *wide[2:])
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, want, rtol=2e-2)
