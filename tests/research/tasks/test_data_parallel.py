"""A run is the same on one device and on four, and no random number is used twice."""

import dataclasses
from functools import cache, partial
from types import ModuleType
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.experiment import Data, Experiment
from research.models import digit_classifier, mlp, seed_pair
from research.optimizers import Optimizer
from research.sources.split import Split
from research.task import example_keys
from research.tasks.gan import Gan
from research.tasks.supervised import Supervised
from research.training import job as jobs
from research.training.axes import BATCH
from research.training.strategies import pmap

STEPS, RANKS, BATCH_SIZE = 3, 4, 8


def data_set(channels):
    """A data set of 40 random pictures, one after another, on the device."""
    rng = np.random.default_rng(0)
    arrays = {
        "image": rng.integers(0, 256, (40, 28, 28, channels), np.uint8),
        "label": rng.integers(0, 10, 40).astype(np.int32),
    }

    def batch(arrays, seed, positions):
        del seed  # the order has its own tests
        return {
            name: jnp.asarray(array)[positions % 40] for name, array in arrays.items()
        }

    part = ModuleType("drawn_digits")
    vars(part).update(batch=batch)
    return part, Split(arrays, 40, "none")


def job_of(model, task, optimizer, channels=3):
    experiment = Experiment(
        steps=10,
        batch_size=BATCH_SIZE,
        data=Data("drawn_digits"),
        model=model,
        task=task,
        optimizer=optimizer,
        seed=5,
    )
    part, split = data_set(channels)
    built = task.build(model, optimizer, experiment.steps)
    return jobs.Job("drawn", experiment, built, part, split, split)


def start(job):
    """A state with weights by numpy: compiling JAX's own draws takes long."""
    rng = np.random.default_rng(6)

    def draw(path, leaf):
        name = jax.tree_util.keystr(path)
        if "spectral" in name:  # a unit vector
            values = rng.normal(size=leaf.shape)
            return np.asarray(values / np.linalg.norm(values), leaf.dtype)
        if "param" in name or "average[0]" in name:
            shift = 1.0 if "scale" in name else 0.0
            fan = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 100
            values = shift + rng.normal(scale=1 / np.sqrt(fan), size=leaf.shape)
            return np.asarray(values, leaf.dtype)
        return np.full(leaf.shape, 1 if "var" in name else 0, leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, jobs.state_like(job))


def by_vmap(job, ranks, state):
    """State and metrics after STEPS on so many devices that vmap plays."""
    step = jobs.step_function(job, ranks)
    step = jax.jit(jax.vmap(step, in_axes=(0, None), axis_name=BATCH))
    state = jax.tree.map(lambda leaf: np.stack([leaf] * ranks), state)
    for _ in range(STEPS):
        state, metrics = step(state, job.train.arrays)
    return jax.tree.map(np.asarray, (state, metrics))


def by_pmap(job, state):
    """The same on the four real devices, the state donated."""
    step = pmap.parallel(jobs.step_function(job, RANKS))
    state, arrays = pmap.replicate(state), pmap.replicate(job.train.arrays)
    for _ in range(STEPS):
        state, metrics = step(state, arrays)
    return jax.tree.map(np.asarray, (state, metrics))


SGD = Optimizer("sgd", 0.05)
JOBS = {
    # BatchNorm in two passes of G, its average, second derivatives in D
    "gan": partial(
        job_of,
        seed_pair.Model(width=2, latent=4),
        Gan("relativistic", {"r1": 1.0, "r2": 1.0}, "fresh", ema=0.5),
        SGD,
    ),
    # Several updates a step on data of their own, and all that draws by example
    "remedied gan": partial(
        job_of,
        mlp.Model((28, 28, 3), hidden=4, layers=1, bounded=True, spectral=True),
        Gan(
            "hinge",
            {"wgan_gp": 0.5, "dragan": 0.3},
            generator_steps=2,
            discriminator_steps=2,
            packing=2,
            instance_noise=0.2,
            augmentations=("translation",),
            historical_averaging=0.1,
        ),
        SGD,
    ),
    # What compares the samples of all devices
    "coupled gan": partial(
        job_of,
        mlp.Model(
            (28, 28, 3), 4, layers=1, discriminator_norm=True, minibatch_kernels=2
        ),
        Gan(
            order="simultaneous",
            discriminator_batches="joint",
            generator_objective="features",
        ),
        SGD,
    ),
    # BatchNorm, and pictures turned and moved by each example's own key
    "classifier": partial(
        job_of,
        digit_classifier.Model(widths=(2, 3, 3, 4), features=5),
        Supervised("pictures", label_smoothing=0.1),
        SGD,
        channels=1,
    ),
}


@pytest.fixture(scope="module", params=JOBS)
def run(request):
    """A job, its start, and what one device makes of it."""
    job = JOBS[request.param]()
    state = start(job)
    one, metrics = jax.tree.map(lambda leaf: leaf[0], by_vmap(job, 1, state))
    return job, state, one, metrics


def assert_all_equal_to(one, many):
    """Every rank's leaf is the one device's.

    Sums in another order grow over three steps of a game: 3.4e-5 of a variance was
    seen on a CPU without AVX-512, and 1.3e-5 of a momentum with jax 0.11.
    """
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(many), strict=True
    )
    for (path, want), got in pairs:
        want = np.broadcast_to(want, got.shape)
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5, err_msg=name)


def test_the_start_moves(run):
    """Else equal states after three steps would say nothing."""
    job, before, after, metrics = run
    # BatchNorm takes a bias before it away again: there only rounding moves it.
    normed = getattr(job.experiment.model, "discriminator_norm", False)
    still = {".discriminator.params['Dense_0']['bias']"} if normed else set()
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True
    )
    for (path, old), new in pairs:
        assert np.isfinite(new).all()
        # Pairing leaves D's last bias alone: it is in both logits of a pair.
        moved = (new != old).any() or new.size == 1
        assert moved or jax.tree_util.keystr(path) in still
    assert after.step == STEPS
    assert all(np.isfinite(value) for value in metrics.values())


def test_four_devices_that_vmap_plays_do_what_one_does(run):
    job, state, one, metrics = run
    assert_all_equal_to((one, metrics), by_vmap(job, RANKS, state))


def test_four_real_devices_do_what_one_does(run):
    job, state, one, metrics = run
    assert jax.device_count() == RANKS
    assert_all_equal_to((one, metrics), by_pmap(job, state))


# --- random numbers ------------------------------------------------------------------

LATENT = 2


class Witness(nn.Module):
    """A generator that remembers all noise it was trained on, newest first."""

    @nn.compact
    def __call__(self, noise, train):
        seen = self.variable("batch_stats", "seen", jnp.zeros, (80, LATENT))
        if train:
            seen.value = jnp.concatenate([noise, seen.value])[:80]
        scale = self.param("scale", nn.initializers.ones, (LATENT, 28 * 28))
        return jnp.tanh(noise @ scale).reshape(-1, 28, 28, 1)


class Mean(nn.Module):
    @nn.compact
    def __call__(self, images, train):
        return self.param("w", nn.initializers.ones, ()) * images.mean((1, 2, 3))


@dataclasses.dataclass(frozen=True)
class WitnessModel:
    latent: int = LATENT
    family = "gan"

    def generator(self):
        return Witness()

    def discriminator(self):
        return Mean()


@cache
def noise_of_steps(noise, ranks, seed=5):
    """All noise of STEPS steps, rows of [passes · batch · steps, LATENT]."""
    job = job_of(WitnessModel(), Gan(noise=noise), SGD, channels=1)
    job = job._replace(experiment=dataclasses.replace(job.experiment, seed=seed))
    state, _ = by_vmap(
        job,
        ranks,
        jax.tree.map(np.asarray, jax.jit(partial(jobs.initial_state, job))()),
    )
    passes = {"fresh": 2, "shared": 1}[noise]
    return state.generator.stats["seen"][:, : STEPS * passes * BATCH_SIZE // ranks]


def distinct(rows):
    return {row.tobytes() for row in rows.reshape(-1, LATENT)}


def test_no_noise_is_used_twice():
    """Not by both nets, nor at two steps, nor for two examples, nor on two devices."""
    one = noise_of_steps("fresh", 1)
    assert len(distinct(one)) == one.shape[1] == STEPS * 2 * BATCH_SIZE
    assert one.std() > 0.5
    assert distinct(noise_of_steps("fresh", RANKS)) == distinct(one)
    assert not distinct(noise_of_steps("fresh", 1, seed=6)) & distinct(one)


def test_shared_noise_is_made_once_a_step():
    one = noise_of_steps("shared", 1)
    assert len(distinct(one)) == one.shape[1] == STEPS * BATCH_SIZE
    assert distinct(one) < distinct(noise_of_steps("fresh", 1))


def test_pictures_are_drawn_from_noise_of_their_own():
    """The samples of a run start from its seed too, and share no noise with a step."""
    key = jax.random.key(5)
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(25))
    drawn = jax.vmap(lambda k: jax.random.normal(k, (LATENT,)))(keys)
    assert not distinct(np.asarray(drawn)) & distinct(noise_of_steps("fresh", 1))


def test_each_example_has_its_own_key_wherever_it_is():
    key = jax.random.key(2)
    positions = jnp.array([7, 8, 9, 2**32 - 1], jnp.uint32)
    keys = jax.random.key_data(example_keys(key, positions))
    assert len({k.tobytes() for k in np.asarray(keys)}) == 4
    for i, position in enumerate(positions):
        want = jax.random.key_data(jax.random.fold_in(key, position))
        np.testing.assert_array_equal(keys[i], want)


class Last(NamedTuple):
    """The state of a task that remembers its last batch."""

    step: jax.Array
    positions: jax.Array
    labels: jax.Array


@pytest.mark.parametrize("ranks", [1, RANKS])
def test_a_step_takes_the_examples_of_its_place_in_the_training(ranks):
    """Rank r of n holds the positions from step·batch + r·batch/n on."""

    def remember(state, batch, key):
        return Last(state.step + 1, batch["position"], batch["label"]), {}

    job = job_of(WitnessModel(), Gan(), SGD, channels=1)
    job = job._replace(task=job.task._replace(step=remember))
    local = BATCH_SIZE // ranks
    state = Last(jnp.uint32(7), *jnp.zeros((2, local)))
    step = jax.vmap(
        jobs.step_function(job, ranks), (None, None), axis_name=BATCH, axis_size=ranks
    )
    last, _ = step(state, job.train.arrays)
    want = np.arange(7 * BATCH_SIZE, 8 * BATCH_SIZE)
    assert last.positions.shape == (ranks, local)
    np.testing.assert_array_equal(last.positions.ravel(), want)
    of_those = job.train.arrays["label"][want % 40]
    np.testing.assert_array_equal(last.labels.ravel(), of_those)
