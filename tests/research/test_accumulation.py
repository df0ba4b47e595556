"""Shares of a batch, one after another, make the step that the whole batch makes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.accumulation import accumulated
from research.errors import UserError
from research.experiment import Data, Experiment
from research.models import lstm, mlp, stacked_lstm
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.tasks.language import Language
from research.tasks.supervised import Supervised
from research.training import job as jobs
from research.training.axes import BATCH

BASE = Experiment(
    steps=4,
    batch_size=16,
    data=Data("digits"),
    model=lstm.Model(hidden=8),
    task=Supervised(label_smoothing=0.1),
    optimizer=Optimizer("sgd", 0.1),
)
JOBS = {
    "supervised": BASE,
    # Two updates of D, a penalty with keys of its own, pairs that D judges together
    "gan": dataclasses.replace(
        BASE,
        batch_size=32,
        data=Data("digits_8"),
        model=mlp.Model((8, 8, 1), hidden=8, layers=1, bounded=True),
        task=Gan("hinge", {"wgan_gp": 1.0}, discriminator_steps=2, packing=2),
    ),
}


def steps_of(job, steps=2):
    """State and metrics after some steps of one device."""
    step = jax.vmap(jobs.step_function(job, 1), (0, None), axis_name=BATCH, axis_size=1)
    step = jax.jit(step)
    state = jax.tree.map(lambda leaf: leaf[None], jobs.initial_state(job))
    for _ in range(steps):
        state, metrics = step(state, job.train.arrays)
    return state, metrics


def job_of(name, shares, tmp_path):
    settings = JOBS.get(name)
    if settings is None:
        text = tmp_path / "text.txt"
        text.write_text("the cat sat on the mat and the dog lay on the log. " * 400)
        settings = dataclasses.replace(
            BASE,
            data=Data("text", path=text, length=7),
            model=stacked_lstm.Model(8, layers=1, classes=256),
            task=Language(draw_length=4),
        )
    optimizer = dataclasses.replace(settings.optimizer, accumulate=shares)
    return jobs.prepare(name, dataclasses.replace(settings, optimizer=optimizer))


@pytest.mark.parametrize("name", [*JOBS, "language"])
def test_four_shares_make_the_step_of_the_whole_batch(name, tmp_path):
    whole, shared = (steps_of(job_of(name, n, tmp_path)) for n in (1, 4))
    assert jax.tree.structure(whole) == jax.tree.structure(shared)
    for one, other in zip(*map(jax.tree.leaves, (whole, shared)), strict=True):
        np.testing.assert_allclose(other, one, rtol=2e-5, atol=1e-6)


def test_means_count_by_their_weight():
    """By hand: shares of 1 and of 3 targets."""
    weights, values = np.float32([1, 3]), np.float32([10, 2])

    def traced(number, carry, examples):
        return examples["w"][0], examples["g"][0], carry + number + 1, {"m": carry}

    examples = {"w": weights, "g": values}
    gradient, carry, metrics = accumulated(2, traced, jnp.float32(5), examples)
    assert gradient == (1 * 10 + 3 * 2) / 4
    assert carry == 5 + 1 + 2
    assert metrics["m"] == (1 * 5 + 3 * 6) / 4


def test_it_takes_the_memory_of_a_share(tmp_path):
    """What the compiler sets aside for a step, beside its state and data."""

    def temporary(shares):
        large = dataclasses.replace(
            BASE,
            batch_size=128,
            model=lstm.Model(hidden=64),
            optimizer=dataclasses.replace(BASE.optimizer, accumulate=shares),
        )
        job = jobs.prepare("large", large)
        step = jax.vmap(
            jobs.step_function(job, 1), (0, None), axis_name=BATCH, axis_size=1
        )
        like = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype),
            jobs.state_like(job),
        )
        compiled = jax.jit(step).lower(like, job.train.arrays).compile()
        analysis = compiled.memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporary(8) < temporary(1) / 2


@pytest.mark.parametrize("shares", [0, 3, 8])
def test_shares_that_do_not_divide_a_devices_examples_are_refused(shares):
    """16 examples on four devices are 4 each."""
    optimizer = dataclasses.replace(BASE.optimizer, accumulate=shares)
    with pytest.raises(UserError, match=rf"accumulate {shares} does not divide .* 4 "):
        jobs.prepare("x", dataclasses.replace(BASE, optimizer=optimizer))


def test_one_pass_for_both_updates_is_not_cut():
    shared = dataclasses.replace(JOBS["gan"], task=Gan(noise="shared"))
    optimizer = dataclasses.replace(BASE.optimizer, accumulate=2)
    with pytest.raises(UserError, match=r"take --task\.noise fresh"):
        jobs.prepare("x", dataclasses.replace(shared, optimizer=optimizer))
