"""Penalties: closed forms, gradients per example, and the second derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import parts
from research.penalties.dragan import deviation
from research.penalties.wgan_gp import between
from research.training.axes import BATCH

NAMES = parts.names("research.penalties")
SHAPE = (5, 4, 3, 2)  # batch, height, width, channels


@pytest.fixture
def pictures():
    rng = np.random.default_rng(3)
    real, fake = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    return rng, jnp.asarray(real), jnp.asarray(fake)


KEYS = jax.random.split(jax.random.key(8), SHAPE[0])


def find(name):
    """The penalty as a step on one device calls it, under the axis of the devices."""
    penalty = parts.find("research.penalties", name).penalty

    def on_one_device(discriminate, real, fake, keys=KEYS):
        run = jax.vmap(lambda *a: penalty(discriminate, *a), axis_name=BATCH)
        return run(real[None], fake[None], keys[None])[0]

    return on_one_device


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


# --- penalties at places of their own ------------------------------------------------


def test_a_pair_s_place_is_on_its_line_and_its_own(pictures):
    """One share for all numbers of a pair; another for every pair (gan.md 4.2)."""
    _, real, fake = pictures
    found = np.float64(jax.vmap(between)(KEYS, real, fake))
    shares = (found - fake) / np.float64(real - fake)
    each = np.median(shares, axis=(1, 2, 3))
    np.testing.assert_allclose(
        shares, each[:, None, None, None] + 0 * shares, atol=1e-2
    )
    assert len({round(float(share), 4) for share in each}) == len(KEYS)
    many = jax.vmap(between, (0, None, None))(
        jax.random.split(jax.random.key(1), 4_000), jnp.ones(()), jnp.zeros(())
    )
    quarters = np.quantile(many, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quarters, [0.25, 0.5, 0.75], atol=0.03)


def bowl(x):
    """D(x) = ½‖x‖²: its gradient is the place itself."""
    return 0.5 * jnp.sum(jnp.square(x), axis=(1, 2, 3))


def test_values_at_the_places_between(pictures):
    """In float64, from the places that `between` gives."""
    _, real, fake = pictures
    at = np.float64(jax.vmap(between)(KEYS, real, fake)).reshape(len(KEYS), -1)
    norms = np.sqrt((at**2).sum(1))
    want = {"wgan_gp": ((norms - 1) ** 2).mean(), "zero_centred": (norms**2).mean()}
    for name, value in want.items():
        np.testing.assert_allclose(find(name)(bowl, real, fake), value, rtol=1e-5)


def test_of_a_linear_discriminator_they_know_the_slope_alone(pictures):
    rng, real, fake = pictures
    a = rng.normal(size=SHAPE[1:])
    norm, weights = np.linalg.norm(a), jnp.float32(a)
    want = {"wgan_gp": (norm - 1) ** 2, "dragan": (norm - 1) ** 2}
    want["zero_centred"] = norm**2
    for name, value in want.items():
        got = find(name)(lambda x: jnp.einsum("bhwc,hwc->b", x, weights), real, fake)
        np.testing.assert_allclose(got, value, rtol=1e-5)


def test_a_flat_discriminator_costs_one_where_a_slope_of_one_is_asked_for(pictures):
    _, real, fake = pictures
    for name in ("wgan_gp", "dragan"):
        got = find(name)(lambda x: 0 * bowl(x), real, fake)
        np.testing.assert_allclose(got, 1, rtol=1e-3)


def test_dragan_s_noise_is_as_wide_as_the_batch_and_has_no_mean():
    """E‖x + δ + 1‖² for x = ±1, whose deviation is 1, and δ uniform in ±½: 2 + 1/12.

    Noise that only goes up, as wide, would give 2 + 7/12.
    """
    size = 40_000
    real = jnp.tile(jnp.array([1.0, -1.0]), size // 2).reshape(1, 200, 200, 1)
    got = find("dragan")(lambda x: bowl(x + 1), real, 0 * real, KEYS[:1])
    want = (np.sqrt(size * (2 + 1 / 12)) - 1) ** 2
    np.testing.assert_allclose(got, want, rtol=1e-2)


def test_dragan_takes_the_deviation_over_all_devices():
    samples = (
        jax.random.normal(KEYS[0], (2, 3, 4)) + jnp.array([0.0, 5.0])[:, None, None]
    )
    got = jax.vmap(deviation, axis_name=BATCH)(samples)
    np.testing.assert_allclose(got, np.std(np.float64(samples)), rtol=1e-5)


def wgan_gp_by_torch(w, v, places):
    """The penalty and its gradient for the weights, in PyTorch, float64."""
    torch = pytest.importorskip("torch")
    w, v, x = (torch.tensor(np.float64(a), requires_grad=True) for a in (w, v, places))
    logits = torch.tanh(x.flatten(1) @ w) @ v
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    value = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    value.backward()
    return float(value.detach()), w.grad.numpy(), v.grad.numpy()


def test_wgan_gp_and_its_gradient_are_pytorch_s(pictures):
    rng, real, fake = pictures
    w, v = weights_of(rng)
    value, (got_w, got_v) = jax.value_and_grad(
        lambda weights: find("wgan_gp")(lambda x: smooth(weights, x), real, fake)
    )((w, v))
    places = np.asarray(jax.vmap(between)(KEYS, real, fake))
    want, want_w, want_v = wgan_gp_by_torch(w, v, places)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    np.testing.assert_allclose(got_w, want_w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got_v, want_v, rtol=1e-4, atol=1e-6)


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

        twice = find(name)(
            lambda x: smooth(weights, x),
            *(jnp.tile(images, (2, 1, 1, 1)) for images in (real, fake)),
            jnp.tile(KEYS, 2),
        )
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
