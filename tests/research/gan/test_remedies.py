"""Each remedy in a whole step, against the same game played in float64 numpy.

Samples are single numbers: G(z) = θ z + b, D(x) = ψ tanh(x) + φ x. Both nets' gradients
are written by hand.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from research.gan.player import Past
from research.media import points
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.training.axes import BATCH

BATCH_SIZE, RATE = 4, 0.1
KEY = jax.random.key(3)
SGD = Optimizer("sgd", RATE, beta1=0.0)
START = {"scale": 1.5, "shift": -0.4}, {"psi": 0.7, "phi": 0.3}


class Line(nn.Module):
    """G(z) = θ z + b."""

    @nn.compact
    def __call__(self, noise, train):
        scale = self.param("scale", nn.initializers.ones, ())
        return scale * noise + self.param("shift", nn.initializers.ones, ())


class Bend(nn.Module):
    """D(x) = Σ ψ tanh(x) + φ x over a pack's numbers."""

    @nn.compact
    def __call__(self, samples, train):
        psi = self.param("psi", nn.initializers.ones, ())
        phi = self.param("phi", nn.initializers.ones, ())
        self.sow("intermediates", "features", jnp.tanh(samples))
        return jnp.sum(psi * jnp.tanh(samples) + phi * samples, axis=-1)


@dataclasses.dataclass(frozen=True)
class Numbers:
    latent: int = 1
    family = "gan"

    def generator(self):
        return Line()

    def discriminator(self) -> nn.Module:
        return Bend()


def game(config, steps=10, optimizer=SGD):
    return config.build(Numbers(), optimizer, steps, points)


def batch_of(rounds=1):
    size = BATCH_SIZE * rounds
    x = np.random.default_rng(5).normal(1.0, 1.0, (size, 1))
    return {
        "point": jnp.float32(x),
        "position": jnp.arange(70, 70 + size, dtype=jnp.uint32),
    }


def start(task, batch):
    state = jax.jit(task.init)(KEY, batch)
    nets = [
        net._replace(params={name: jnp.float32(v) for name, v in values.items()})
        for net, values in zip(state[1:3], START, strict=True)
    ]
    nets = [
        net if net.past is None else net._replace(past=Past(jnp.ones(()), net.params))
        for net in nets
    ]
    return state._replace(generator=nets[0], discriminator=nets[1])


def play(task, batch, state=None, key=KEY):
    """State and metrics after one step on one device."""
    state = start(task, batch) if state is None else state
    step = jax.jit(jax.vmap(task.step, (None, 0, None), axis_name=BATCH))
    out = step(state, jax.tree.map(lambda leaf: leaf[None], batch), key)
    return jax.tree.map(lambda leaf: leaf[0], out)


# --- by hand -------------------------------------------------------------------------


def noise(role, positions, number=0):
    key = jax.random.fold_in(KEY, role + 8 * number)
    keys = [jax.random.fold_in(key, int(p)) for p in positions]
    return np.float64([jax.random.normal(k, (1,)) for k in keys])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def draw(g, z):
    return g["scale"] * z + g["shift"]


def judge(d, x):
    return (d["psi"] * np.tanh(x) + d["phi"] * x).sum(-1)


def generator_slope(g, d, z):
    """Of E softplus(−D(G(z)))."""
    x = draw(g, z)
    toward_x = -sigmoid(-judge(d, x))[:, None] * (d["psi"] / np.cosh(x) ** 2 + d["phi"])
    return {"scale": (toward_x * z).mean(), "shift": toward_x.mean()}


def discriminator_slope(d, real, fake):
    """Of E softplus(−D(x)) + E softplus(D(G(z)))."""
    up, down = -sigmoid(-judge(d, real)), sigmoid(judge(d, fake))

    def pull(f):
        return (up * f(real).sum(-1)).mean() + (down * f(fake).sum(-1)).mean()

    return {"psi": pull(np.tanh), "phi": pull(lambda x: x)}


def descend(params, slope, rate=RATE):
    return {name: value - rate * slope[name] for name, value in params.items()}


def assert_nets(state, generator, discriminator):
    for net, want in (
        (state.generator, generator),
        (state.discriminator, discriminator),
    ):
        for name, value in want.items():
            np.testing.assert_allclose(
                net.params[name], value, rtol=2e-5, atol=1e-6, err_msg=name
            )


def test_simultaneous_updates_start_from_the_same_networks():
    batch = batch_of()
    real, positions = np.float64(batch["point"]), batch["position"]
    g, d = START
    for shared in ("fresh", "shared"):
        state, _ = play(game(Gan(order="simultaneous", noise=shared)), batch)
        z = noise(0, positions)
        fake = draw(g, z if shared == "shared" else noise(1, positions))
        assert_nets(
            state,
            descend(g, generator_slope(g, d, z)),
            descend(d, discriminator_slope(d, real, fake)),
        )


def test_every_update_of_d_sees_real_samples_and_noise_of_its_own():
    batch = batch_of(rounds=3)
    task = game(Gan(discriminator_steps=3))
    assert task.batches == 3
    state, metrics = play(task, batch)
    g, d = START
    g = descend(g, generator_slope(g, d, noise(0, batch["position"][:BATCH_SIZE])))
    for number in range(3):
        own = slice(number * BATCH_SIZE, (number + 1) * BATCH_SIZE)
        real = np.float64(batch["point"][own])
        fake = draw(g, noise(1, batch["position"][own], number))
        last = judge(d, real).mean()
        d = descend(d, discriminator_slope(d, real, fake))
    assert_nets(state, g, d)
    np.testing.assert_allclose(metrics["real_logit"], last, rtol=1e-5)
    assert state.step == 1


def test_every_update_of_g_is_on_noise_of_its_own():
    batch = batch_of()
    state, _ = play(game(Gan(generator_steps=2)), batch)
    g, d = START
    for number in range(2):
        g = descend(g, generator_slope(g, d, noise(0, batch["position"], number)))
    fake = draw(g, noise(1, batch["position"]))
    d = descend(d, discriminator_slope(d, np.float64(batch["point"]), fake))
    assert_nets(state, g, d)


def test_a_lazy_penalty_comes_every_third_update_three_times_as_strong():
    """And so averages to the penalty itself, for a D that does not move."""
    batch = batch_of()
    still = dataclasses.replace(SGD, learning_rate=0.0)
    task = game(Gan(penalties={"r1": 0.8}, penalty_interval=3), optimizer=still)
    state, found = start(task, batch), []
    for _ in range(6):
        state, metrics = play(task, batch, state)
        found.append(float(metrics["discriminator_penalty"]))
    x, d = np.float64(batch["point"]), START[1]
    slope = d["psi"] / np.cosh(x) ** 2 + d["phi"]
    want = 0.8 * 0.5 * (slope**2).mean()
    np.testing.assert_allclose(found, [3 * want, 0, 0, 3 * want, 0, 0], rtol=1e-5)


def test_lazy_updates_of_d_are_counted_over_steps():
    """Two updates a step, every third is penalised: the 1st, and then the 4th."""
    batch = batch_of(rounds=2)
    config = Gan(penalties={"r1": 1.0}, penalty_interval=3, discriminator_steps=2)
    task = game(config)
    state, penalised = start(task, batch), []
    for _ in range(3):
        state, metrics = play(task, batch, state)
        penalised.append(float(metrics["discriminator_penalty"]) > 0)
    assert penalised == [False, True, False]  # of updates 2, 4 and 6


def test_packs_are_judged_together():
    """Neighbours are one sample of D, of real and of fake ones, in both updates."""
    batch = batch_of()
    state, _ = play(game(Gan(packing=2)), batch)
    g, d = START
    z = noise(0, batch["position"])
    x = draw(g, z)
    together = np.repeat(judge(d, x.reshape(2, 2)), 2)[:, None]
    toward_x = -sigmoid(-together) * (d["psi"] / np.cosh(x) ** 2 + d["phi"]) / 2
    g = descend(g, {"scale": (toward_x * z).sum(), "shift": toward_x.sum()})
    fake = draw(g, noise(1, batch["position"])).reshape(2, 2)
    real = np.float64(batch["point"]).reshape(2, 2)
    assert_nets(state, g, descend(d, discriminator_slope(d, real, fake)))


def test_weights_of_d_are_clipped_after_its_update():
    batch = batch_of()
    state, _ = play(game(Gan("wgan", clip_weights=0.5)), batch)
    g, d = START
    z = noise(0, batch["position"])
    x = draw(g, z)
    toward_x = -(d["psi"] / np.cosh(x) ** 2 + d["phi"])
    g = descend(g, {"scale": (toward_x * z).mean(), "shift": toward_x.mean()})
    real, fake = np.float64(batch["point"]), draw(g, noise(1, batch["position"]))
    slope = {
        "psi": np.tanh(fake).mean() - np.tanh(real).mean(),
        "phi": fake.mean() - real.mean(),
    }
    moved = descend(d, slope)
    assert moved["psi"] > 0.5
    assert 0 < moved["phi"] < 0.5
    assert_nets(state, g, {n: np.clip(v, -0.5, 0.5) for n, v in moved.items()})
    assert float(state.generator.params["scale"]) > 0.5  # G's are not


def test_historical_averaging_pulls_both_toward_their_mean():
    """Against float64 over three steps; the first has no past to pull to."""
    weight = 0.4
    batch = batch_of()
    task = game(Gan(historical_averaging=weight))
    state = start(task, batch)
    nets, pasts = list(START), [[START[0]], [START[1]]]
    real = np.float64(batch["point"])
    for _ in range(3):
        state, _ = play(task, batch, state)
        for player in (0, 1):
            g, d = nets
            if player == 0:
                slope = generator_slope(g, d, noise(0, batch["position"]))
            else:
                fake = draw(g, noise(1, batch["position"]))
                slope = discriminator_slope(d, real, fake)
            own = nets[player]
            mean = {n: np.mean([past[n] for past in pasts[player]]) for n in own}
            slope = {n: slope[n] + 2 * weight * (own[n] - mean[n]) for n in own}
            nets[player] = descend(own, slope)
            pasts[player].append(nets[player])
    assert_nets(state, *nets)


def test_feature_matching_descends_the_distance_of_the_means():
    """G on ‖E tanh(x) − E tanh(G(z))‖²; D as ever."""
    batch = batch_of()
    state, metrics = play(game(Gan(generator_objective="features")), batch)
    g, d = START
    z, real = noise(0, batch["position"]), np.float64(batch["point"])
    x = draw(g, z)
    gap = np.tanh(x).mean() - np.tanh(real).mean()
    toward_x = 2 * gap / np.cosh(x) ** 2
    np.testing.assert_allclose(metrics["generator_loss"], gap**2, rtol=1e-5)
    g = descend(g, {"scale": (toward_x * z).mean(), "shift": toward_x.mean()})
    fake = draw(g, noise(1, batch["position"]))
    assert_nets(state, g, descend(d, discriminator_slope(d, real, fake)))


def test_a_smoothed_label_reaches_d_s_update():
    batch = batch_of()
    state, _ = play(game(Gan(real_target=0.9)), batch)
    g, d = START
    g = descend(g, generator_slope(g, d, noise(0, batch["position"])))
    real, fake = np.float64(batch["point"]), draw(g, noise(1, batch["position"]))
    slope = discriminator_slope(d, real, fake)
    slope = {
        "psi": slope["psi"] + 0.1 * np.tanh(real).mean(),
        "phi": slope["phi"] + 0.1 * real.mean(),
    }
    assert_nets(state, g, descend(d, slope))


def test_instance_noise_is_on_all_that_d_sees_and_ends():
    """Other keys for real and for fake; at σ = 0, half-way, the plain step."""
    batch = batch_of()
    noisy, _ = play(game(Gan(instance_noise=0.3, instance_noise_share=0.5)), batch)
    g, d = START
    z, positions = noise(0, batch["position"]), batch["position"]
    x = draw(g, z)
    seen = x + 0.3 * noise(5, positions)
    toward_x = -sigmoid(-judge(d, seen))[:, None] * (
        d["psi"] / np.cosh(seen) ** 2 + d["phi"]
    )
    g = descend(g, {"scale": (toward_x * z).mean(), "shift": toward_x.mean()})
    real = np.float64(batch["point"]) + 0.3 * noise(6, positions)
    fake = draw(g, noise(1, positions)) + 0.3 * noise(7, positions)
    assert_nets(noisy, g, descend(d, discriminator_slope(d, real, fake)))
    for task in (game(Gan(instance_noise=0.3, instance_noise_share=0.5)), game(Gan())):
        late = start(task, batch)._replace(step=jnp.uint32(5))
        after, _ = play(task, batch, late)
        plain, _ = play(game(Gan()), batch)
        assert_nets(after, plain.generator.params, plain.discriminator.params)


def test_gradient_normalisation_bounds_the_logit():
    """D̂ = D / (‖∇D‖ + |D|), real logit of the metrics by hand."""
    batch = batch_of()
    still = dataclasses.replace(SGD, learning_rate=0.0)
    task = game(Gan(gradient_normalization=True), optimizer=still)
    _, metrics = play(task, batch)
    x, d = np.float64(batch["point"]), START[1]
    slope = np.abs(d["psi"] / np.cosh(x) ** 2 + d["phi"])[:, 0]
    want = judge(d, x) / (slope + np.abs(judge(d, x)))
    np.testing.assert_allclose(metrics["real_logit"], want.mean(), rtol=1e-5)


# --- BatchNorm in D ------------------------------------------------------------------

MOMENTUM = 0.9


class NormedBend(nn.Module):
    """D(x) = w · BatchNorm(x)."""

    @nn.compact
    def __call__(self, samples, train):
        w = self.param("w", nn.initializers.ones, ())
        norm = nn.BatchNorm(
            not train,
            momentum=MOMENTUM,
            axis_name=BATCH,
            use_bias=False,
            use_scale=False,
        )
        return w * norm(samples)[:, 0]


class Normed(Numbers):
    def discriminator(self):
        return NormedBend()


def moments_after(config):
    batch = batch_of()
    still = dataclasses.replace(SGD, learning_rate=0.0)
    task = config.build(Normed(), still, 10, points)
    state, metrics = play(task, batch, jax.jit(task.init)(KEY, batch))
    return state.discriminator.stats["BatchNorm_0"], metrics, batch


def test_separate_batches_move_d_s_statistics_by_real_then_by_fake():
    """And G's update, which asks D as well, leaves them alone (gan.md 4.3)."""
    stats, metrics, batch = moments_after(Gan())
    mean, var = 0.0, 1.0
    fakes = draw({"scale": 1.0, "shift": 1.0}, noise(1, batch["position"]))
    for x in (np.float64(batch["point"]), fakes):
        mean = MOMENTUM * mean + (1 - MOMENTUM) * x.mean()
        var = MOMENTUM * var + (1 - MOMENTUM) * x.var()
    np.testing.assert_allclose(stats["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(stats["var"], var, rtol=1e-5)
    np.testing.assert_allclose(metrics["real_logit"], 0, atol=1e-6)


def test_a_joint_batch_has_one_mean_for_both():
    stats, metrics, batch = moments_after(Gan(discriminator_batches="joint"))
    real = np.float64(batch["point"])
    fake = draw({"scale": 1.0, "shift": 1.0}, noise(1, batch["position"]))
    both = np.concatenate([real, fake])
    np.testing.assert_allclose(stats["mean"], 0.1 * both.mean(), rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * both.var(), rtol=1e-5)
    want = (real.mean() - both.mean()) / np.sqrt(both.var() + 1e-5)
    np.testing.assert_allclose(metrics["real_logit"], want, rtol=1e-4)
