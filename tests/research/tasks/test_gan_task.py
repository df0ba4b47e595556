"""The GAN's step against the same game written out plainly."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import parts
from research.errors import UserError
from research.media import pictures, points, series, text
from research.media.pictures import from_network as to_uint8
from research.media.pictures import to_network as to_unit_range
from research.models import dirac, mlp, r3gan, resnet, seed_pair, text_pair
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.training.axes import BATCH

LATENT, PICTURES, MOMENTUM = 3, 6, 0.9
SHAPE = (2, 2, 3)


class Generator(nn.Module):
    """Dense → BatchNorm → tanh: the smallest with statistics."""

    @nn.compact
    def __call__(self, noise, train):
        x = nn.Dense(int(np.prod(SHAPE)), use_bias=False)(noise)
        x = nn.BatchNorm(not train, momentum=MOMENTUM, axis_name=BATCH)(x)
        return jnp.tanh(x).reshape(-1, *SHAPE)


class Discriminator(nn.Module):
    @nn.compact
    def __call__(self, images, train):
        x = nn.Dense(5)(images.reshape(len(images), -1))
        return nn.Dense(1)(jnp.tanh(x))[:, 0]


@dataclasses.dataclass(frozen=True)
class Tiny:
    """A model part as a fork would write it."""

    latent: int = LATENT
    family = "gan"

    def generator(self):
        return Generator()

    def discriminator(self):
        return Discriminator()


SGD = Optimizer("sgd", 1.0, beta1=0.0)
KEY = jax.random.key(11)
POSITIONS = jnp.arange(40, 40 + PICTURES, dtype=jnp.uint32)


@pytest.fixture(scope="module")
def batch():
    images = np.random.default_rng(1).integers(0, 256, (PICTURES, *SHAPE))
    return {
        "image": jnp.uint8(images),
        "label": jnp.zeros(PICTURES, jnp.int32),
        "position": POSITIONS,
    }


def fresh_state(task, batch):
    """A state with weights by numpy: compiling JAX's own draws takes long."""
    rng = np.random.default_rng(4)
    state = jax.eval_shape(task.init, KEY, batch)

    def weights(tree):
        return jax.tree.map(
            lambda s: jnp.float32(rng.normal(scale=0.7, size=s.shape)), tree
        )

    def zeros(tree):
        return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), tree)

    def stats(tree):
        return {
            layer: {
                "mean": jnp.full(v["mean"].shape, 0.2),
                "var": 1.5 + zeros(v["var"]),
            }
            for layer, v in tree.items()
        }

    nets = [
        net._replace(
            params=weights(net.params),
            stats=stats(net.stats),
            optimizer=zeros(net.optimizer),
        )
        for net in (state.generator, state.discriminator)
    ]
    average = (nets[0].params, nets[0].stats) if state.average is not None else None
    return state._replace(
        step=jnp.uint32(0), generator=nets[0], discriminator=nets[1], average=average
    )


def stepper(task):
    """`step(state, batch)` on one device, under the axis that steps run under."""
    step = jax.vmap(task.step, in_axes=(None, 0, None), axis_name=BATCH)

    def one(state, batch, key=KEY):
        out = step(state, jax.tree.map(lambda a: a[None], batch), key)
        return jax.tree.map(lambda a: a[0], out)

    return jax.jit(one)


# --- the same game, written out ------------------------------------------------------


def noise_of(role, key=KEY):
    """Each example's own: folded from the step's key, the role and the position."""
    keys = [jax.random.fold_in(jax.random.fold_in(key, role), p) for p in POSITIONS]
    return jnp.stack([jax.random.normal(k, (LATENT,)) for k in keys])


def generate(params, z):
    """Pictures, and mean and variance of the batch before the normalisation."""
    x = z @ params["Dense_0"]["kernel"]
    mean, var = x.mean(0), x.var(0)
    norm = params["BatchNorm_0"]
    x = (x - mean) / jnp.sqrt(var + 1e-5) * norm["scale"] + norm["bias"]
    return jnp.tanh(x).reshape(-1, *SHAPE), mean, var


def discriminate(params, images):
    first, second = params["Dense_0"], params["Dense_1"]
    x = images.reshape(len(images), -1) @ first["kernel"] + first["bias"]
    return (jnp.tanh(x) @ second["kernel"] + second["bias"])[:, 0]


def ln_sigmoid(x):
    return -jnp.logaddexp(0.0, -x)


def losses(name, real, fake):
    """Of the discriminator and of the generator."""
    if name == "non_saturating":
        ours = -jnp.mean(ln_sigmoid(real)) - jnp.mean(ln_sigmoid(-fake))
        return ours, -jnp.mean(ln_sigmoid(fake))
    return -jnp.mean(ln_sigmoid(real - fake)), -jnp.mean(ln_sigmoid(fake - real))


def penalty(params, images):
    slope = jax.vmap(jax.grad(lambda x: discriminate(params, x[None])[0]))(images)
    return 0.5 * jnp.mean(jnp.sum(slope**2, (1, 2, 3)))


def generator_loss(name, generator, discriminator, real, z):
    fake = discriminate(discriminator, generate(generator, z)[0])
    return losses(name, discriminate(discriminator, real), fake)[1]


def discriminator_loss(name, weights, generator, discriminator, real, z):
    fake = generate(generator, z)[0]
    logits = discriminate(discriminator, real), discriminate(discriminator, fake)
    return (
        losses(name, *logits)[0]
        + weights.get("r1", 0) * penalty(discriminator, real)
        + weights.get("r2", 0) * penalty(discriminator, fake)
    )


def descend(params, gradient, rate):
    return jax.tree.map(lambda p, g: p - rate * g, params, gradient)


def played(name, weights, noise, generator, discriminator, real, rates):
    """New weights of G and D, both losses before their update, and the passes of G."""
    first, second = noise_of(0), noise_of(1)

    def update_generator(discriminator):
        value, gradient = jax.value_and_grad(partial(generator_loss, name))(
            generator, discriminator, real, first
        )
        return value, descend(generator, gradient, rates[0])

    def update_discriminator(generator, z):
        value, gradient = jax.value_and_grad(
            partial(discriminator_loss, name, weights), argnums=1
        )(generator, discriminator, real, z)
        return value, descend(discriminator, gradient, rates[1])

    if noise == "shared":
        d_loss, new_discriminator = update_discriminator(generator, first)
        g_loss, new_generator = update_generator(new_discriminator)
        passes = [(generator, first)]
    else:
        g_loss, new_generator = update_generator(discriminator)
        d_loss, new_discriminator = update_discriminator(new_generator, second)
        passes = [(generator, first), (new_generator, second)]
    return new_generator, new_discriminator, g_loss, d_loss, passes


def assert_trees_close(got, want, **tolerance):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(ours, theirs, **tolerance)


@pytest.mark.parametrize("noise", ["fresh", "shared"])
@pytest.mark.parametrize(
    ("loss", "weights"),
    [("non_saturating", {}), ("relativistic", {"r1": 0.7, "r2": 0.3})],
)
def test_a_step_descends_the_gradients_of_the_whole_game(batch, noise, loss, weights):
    """With plain descent at rate 1 for G and ½ for D, every weight is as played out.

    So G's update moves G alone, D's moves D alone, each along its own loss only.
    """
    config = Gan(loss, weights, noise, discriminator_learning_rate=0.5)
    task = config.build(Tiny(), SGD, 10)
    state = fresh_state(task, batch)
    new, metrics = stepper(task)(state, batch)
    real = jnp.float32(batch["image"]) / 127.5 - 1
    play = jax.jit(partial(played, loss, weights, noise, rates=(1.0, 0.5)))
    generator, discriminator, g_loss, d_loss, passes = play(
        state.generator.params, state.discriminator.params, real
    )
    assert_trees_close(new.generator.params, generator, rtol=1e-5, atol=2e-6)
    assert_trees_close(new.discriminator.params, discriminator, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(metrics["generator_loss"], g_loss, rtol=1e-5)
    total = metrics["discriminator_loss"] + metrics["discriminator_penalty"]
    np.testing.assert_allclose(total, d_loss, rtol=1e-5)
    assert (metrics["discriminator_penalty"] > 0) == bool(weights)
    mean, var = jnp.full(12, 0.2), jnp.full(12, 1.5)
    for params, z in passes:
        _, batch_mean, batch_var = generate(params, z)
        mean = MOMENTUM * mean + (1 - MOMENTUM) * batch_mean
        var = MOMENTUM * var + (1 - MOMENTUM) * batch_var
    stats = new.generator.stats["BatchNorm_0"]
    np.testing.assert_allclose(stats["mean"], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stats["var"], var, rtol=1e-5)
    assert new.step == 1


def test_logits_accuracy_and_norms_of_a_step(batch):
    task = Gan(noise="shared").build(Tiny(), SGD, 10)
    state = fresh_state(task, batch)
    new, metrics = stepper(task)(state, batch)
    params = state.discriminator.params
    real = discriminate(params, jnp.float32(batch["image"]) / 127.5 - 1)
    z = jax.jit(noise_of, static_argnums=0)(0)
    fake = discriminate(params, generate(state.generator.params, z)[0])
    np.testing.assert_allclose(metrics["real_logit"], real.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["fake_logit"], fake.mean(), rtol=1e-5)
    right = float((real > fake).mean())
    assert 0 < right < 1
    np.testing.assert_allclose(metrics["discriminator_accuracy"], right, rtol=1e-6)
    for name in ("generator", "discriminator"):
        before, after = getattr(state, name).params, getattr(new, name).params
        moved = jax.tree.map(lambda a, b: np.float64(a - b), before, after)
        norm = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(moved)))
        np.testing.assert_allclose(metrics[f"{name}_gradient_norm"], norm, rtol=1e-4)


@pytest.mark.parametrize("noise", ["fresh", "shared"])
def test_a_rate_of_zero_holds_one_net_while_the_other_learns(batch, noise):
    for rates, held, learning in [
        ((0.3, 0.0), "discriminator", "generator"),
        ((0.0, 0.3), "generator", "discriminator"),
    ]:
        optimizer = dataclasses.replace(SGD, learning_rate=rates[0])
        config = Gan(noise=noise, discriminator_learning_rate=rates[1])
        task = config.build(Tiny(), optimizer, 10)
        state = fresh_state(task, batch)
        new, _ = stepper(task)(state, batch)
        before, after = getattr(state, held).params, getattr(new, held).params
        assert_trees_close(after, before, rtol=0, atol=0)
        moved = getattr(new, learning).params["Dense_0"]["kernel"]
        old = getattr(state, learning).params["Dense_0"]["kernel"]
        assert jnp.abs(moved - old).max() > 1e-3


def test_the_average_follows_weights_and_statistics_and_draws(batch):
    """decay = min(ema, (1 + step)/(10 + step)), in float64 over the states seen."""
    ema = 0.2  # reached at step 2
    optimizer = dataclasses.replace(SGD, learning_rate=0.3)
    task = Gan(ema=ema).build(Tiny(), optimizer, 10)
    state, step = fresh_state(task, batch), stepper(task)
    want = jax.tree.map(np.float64, (state.generator.params, state.generator.stats))
    decays = [1 / 10, 2 / 11, 0.2, 0.2, 0.2]
    for number, decay in enumerate(decays):
        state, _ = step(state, batch, jax.random.fold_in(KEY, number))
        live = (state.generator.params, state.generator.stats)
        want = jax.tree.map(
            lambda w, new, d=decay: d * w + (1 - d) * np.float64(new), want, live
        )
        assert_trees_close(state.average, want, rtol=1e-5, atol=1e-6)
    keys = jax.random.split(jax.random.key(3), 4)
    z = jax.vmap(lambda key: jax.random.normal(key, (LATENT,)))(keys)
    pictures = {}
    for name, (params, stats) in {"average": want, "live": live}.items():
        norm, moments = params["BatchNorm_0"], stats["BatchNorm_0"]
        x = np.float64(z) @ np.float64(params["Dense_0"]["kernel"]) - moments["mean"]
        x = x / np.sqrt(np.float64(moments["var"]) + 1e-5) * norm["scale"]
        pictures[name] = np.tanh(x + norm["bias"]).reshape(-1, *SHAPE) * 127.5 + 127.5
    drawn = np.float64(jax.jit(task.draw)(state, keys))
    assert np.abs(drawn - pictures["average"]).max() <= 0.5 + 1e-3
    assert np.abs(drawn - pictures["live"]).max() > 1


def test_without_an_average_the_generator_itself_draws(batch):
    task = Gan().build(Tiny(), SGD, 10)
    state = fresh_state(task, batch)
    assert state.average is None
    keys = jax.random.split(jax.random.key(3), 4)
    z = jax.vmap(lambda key: jax.random.normal(key, (LATENT,)))(keys)
    net = state.generator
    images = Generator().apply(
        {"params": net.params, "batch_stats": net.stats}, z, False
    )
    np.testing.assert_array_equal(task.draw(state, keys), to_uint8(images))


def test_fresh_weights_and_their_average_are_equal(batch):
    task = Gan(ema=0.9).build(Tiny(), Optimizer(), 10)
    state = jax.jit(task.init)(jax.random.key(0), batch)
    assert_trees_close(state.average, state.generator[:2], rtol=0, atol=0)
    assert state.step == 0
    assert task.parameters(state) == {
        "generator": LATENT * 12 + 2 * 12,
        "discriminator": 12 * 5 + 5 + 5 + 1,
    }


def test_every_grey_level_survives_the_two_ranges():
    levels = jnp.arange(256, dtype=jnp.uint8)
    unit = to_unit_range(levels)
    assert unit.dtype == jnp.float32
    assert (unit.min(), unit.max()) == (-1, 1)
    np.testing.assert_array_equal(to_uint8(unit), levels)
    np.testing.assert_array_equal(to_uint8(jnp.array([-3.0, 0.0, 3.0])), [0, 128, 255])


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (Gan(ema=1.0), "--task.ema is 1.0"),
        (Gan(ema=-0.1), "--task.ema is -0.1"),
        (Gan(penalties={"r1": -1.0}), "--task.penalties r1 -1.0"),
        (Gan(penalties={"r3": 1.0}), "research/penalties has no 'r3'.*'r[12]'"),
        (Gan(loss="hinj"), "research/losses has no 'hinj'"),
    ],
)
def test_settings_that_no_run_could_mean_are_refused(config, says):
    with pytest.raises(UserError, match=says):
        config.build(Tiny(), SGD, 10)


MISFITS = {
    "r3gan": (r3gan.Model((4, 4, 4, 4), blocks=1), pictures, (28, 28, 3), {}),
    "seed_pair": (seed_pair.Model(width=2), points, (2,), {}),
    "mlp": (mlp.Model(hidden=2), series, (10, 1), {}),
    "resnet": (
        resnet.Model((4,) * 4, (4,) * 6, halvings=6),
        pictures,
        (32, 32, 3),
        {},
    ),
    "dirac": (dirac.Model(), points, (2,), {"packing": 2}),
    "text_pair": (text_pair.Model(3, hidden=2), text, (3,), {"packing": 2}),
}
TOLD = {
    "r3gan": r"samples of shape \(28, 28, 3\).*\.r3gan draws \(32, 32, 3\)",
    "seed_pair": r"samples of shape \(2,\).*\.seed_pair draws \(28, 28, 3\)",
    "mlp": r"samples of shape \(10, 1\).*\.mlp draws \(2,\)",
    "resnet": r"--model.halvings 6: .* 32×32 .* multiples of 64",
    "dirac": r"--task.packing 2: the D of .*\.dirac judges samples one by one",
    "text_pair": r"--task.packing 2: the D of .*\.recurrent_pair judges samples one by",
}


@pytest.mark.parametrize("name", MISFITS)
def test_networks_that_do_not_fit_the_data_are_refused_before_d_reads_it(name):
    model, medium, shape, settings = MISFITS[name]
    task = Gan(**settings).build(model, SGD, 10, medium)
    dtype = {"image": jnp.uint8, "tokens": jnp.int32}.get(medium.ENTRY, jnp.float32)
    example = {medium.ENTRY: jax.ShapeDtypeStruct((4, *shape), dtype)}
    with pytest.raises(UserError, match=TOLD[name]):
        jax.eval_shape(task.init, KEY, example)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (SimpleNamespace(LABELS=20), r"classes 10: .* 20 classes; give --model.c.* 20"),
        (SimpleNamespace(), r"classes 10: the data names no classes .*classes 0"),
    ],
)
def test_classes_that_are_not_the_data_s_are_refused(data, says):
    """JAX would take an index past the end for the last one."""
    task = Gan().build(r3gan.Model(classes=10), SGD, 10)
    with pytest.raises(UserError, match=says):
        task.check(data)
    task.check(SimpleNamespace(LABELS=10))
    Gan().build(r3gan.Model(), SGD, 10).check(data)


def test_every_loss_and_penalty_is_playable(batch):
    """Parts of a fork too: one step with each is finite and moves both nets."""
    penalties = dict.fromkeys(parts.names("research.penalties"), 0.1)
    for loss in parts.names("research.losses"):
        task = Gan(loss, penalties).build(Tiny(), SGD, 10)
        state = fresh_state(task, batch)
        new, metrics = stepper(task)(state, batch)
        for leaf in jax.tree.leaves((new, metrics)):
            assert jnp.isfinite(leaf).all(), loss
        for name in ("generator", "discriminator"):
            before = getattr(state, name).params["Dense_0"]["kernel"]
            assert (getattr(new, name).params["Dense_0"]["kernel"] != before).any()
