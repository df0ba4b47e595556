"""A member of a population ends as the same run alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from research import population
from research.errors import UserError
from research.experiment import Data, Experiment
from research.models import lstm, mlp, seed_pair, stacked_lstm
from research.optimizers import Optimizer
from research.settings import to_dict
from research.tasks.gan import Gan
from research.tasks.supervised import Supervised
from research.training.hashing import state_hash
from research.training.job import initial_state, prepare, with_settings
from research.training.members import Members
from research.training.strategies import pmap
from research.training.varied import Varied

STEPS = 3
BASE = Experiment(
    steps=20,
    batch_size=8,
    data=Data("digits"),
    model=seed_pair.Model(width=2, latent=4, channels=1),
    task=Gan("relativistic", {"r1": 1.0}, "shared", ema=0.5),
    optimizer=Optimizer(
        "adam", 1e-3, beta1=0.5, weight_decay=0.1, clip_norm=0.5, schedule="cosine"
    ),
)
OTHER = dataclasses.replace(
    BASE,
    seed=7,
    model=dataclasses.replace(BASE.model, slope=0.1, norm_momentum=0.9),
    task=dataclasses.replace(BASE.task, penalties={"r1": 0.1}, ema=0.9),
    optimizer=Optimizer(
        "adam", 1e-2, "cosine", 0.9, 0.9, 1e-5, weight_decay=0.01, clip_norm=0.1
    ),
)
LSTM = dataclasses.replace(
    BASE,
    model=lstm.Model(hidden=4),
    task=Supervised(label_smoothing=0.1),
    optimizer=Optimizer("rmsprop", 1e-2, "one_cycle", normalize=True),
)
OTHER_LSTM = dataclasses.replace(
    LSTM,
    seed=1,
    task=Supervised(label_smoothing=0.3),
    optimizer=Optimizer(
        "rmsprop", 1e-3, "one_cycle", 0.9, 0.9, 1e-5, normalize=True, decay=0.8
    ),
)


def trained(members):
    """Each member's state and metrics after STEPS on the four devices."""
    step = pmap.parallel(members.step(jax.device_count()))
    state = pmap.replicate(members.stack(members.initial_states()))
    arrays = members.jobs[0].train.arrays
    inputs = pmap.replicate((members.values, arrays))
    for _ in range(STEPS):
        state, metrics = step(state, *inputs)
    return members.split(pmap.fetch((state, metrics)))


@pytest.mark.parametrize(
    ("base", "other"), [(BASE, OTHER), (LSTM, OTHER_LSTM)], ids=["gan", "lstm"]
)
def test_each_member_ends_as_the_same_run_alone(base, other):
    """Two that differ in the seed and every float at once, on four devices."""
    first = prepare("base", base)
    jobs = [first, with_settings(first, other)]
    together = trained(Members(jobs))
    assert len({state_hash(state) for state, _ in together}) == len(jobs)
    for job, (state, metrics) in zip(jobs, together, strict=True):
        ((alone, told),) = trained(Members([job]))
        assert jax.tree.structure(state) == jax.tree.structure(alone)
        pairs = zip(
            jax.tree_util.tree_leaves_with_path((state, metrics)),
            jax.tree.leaves((alone, told)),
            strict=True,
        )
        for (path, got), want in pairs:
            name = jax.tree_util.keystr(path)
            assert got.dtype == want.dtype
            # Adam divides by the root of tiny squares: 1e-4 of a step of 1e-2.
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-6, err_msg=name)


def test_fresh_states_are_bit_for_bit_those_of_runs_alone():
    first = prepare("base", LSTM)
    jobs = [first, with_settings(first, dataclasses.replace(LSTM, seed=2**32 - 1))]
    for job, state in zip(jobs, Members(jobs).initial_states(), strict=True):
        (alone,) = Members([job]).initial_states()
        assert state_hash(state) == state_hash(alone)


def test_stacked_states_come_apart_again():
    first = prepare("base", LSTM)
    jobs = [with_settings(first, dataclasses.replace(LSTM, seed=s)) for s in range(3)]
    members = Members(jobs)
    states = members.initial_states()
    back = members.split(members.stack(states))
    assert list(map(state_hash, back)) == list(map(state_hash, states))


# --- every float of an experiment ----------------------------------------------------

FLOATS = {
    "gan": dataclasses.replace(
        BASE,
        data=Data("ring"),
        model=mlp.Model(layers=1),
        task=Gan(penalties={"r1": 1.0}, clip_weights=0.1),
    ),
    "lstm": dataclasses.replace(LSTM, model=stacked_lstm.Model(hidden=4)),
}


@pytest.mark.parametrize("name", FLOATS)
def test_any_float_can_vary(name):
    """All at once, traced once: none is asked what a traced value cannot say."""
    base = prepare(name, FLOATS[name])
    tree = population.flatten(to_dict(base.experiment))
    floats = {k: v / 2 or 0.1 for k, v in tree.items() if isinstance(v, float)}
    runs = [
        population.insert(base.experiment, {k: by * v for k, v in floats.items()})
        for by in (1.0, 1.5)
    ]
    assert len(population.alike(dict(enumerate(runs)))) == 1
    members = Members([with_settings(base, run) for run in runs])
    assert set(members.values) == set(floats)
    like = jax.eval_shape(lambda: initial_state(members.jobs[0]))
    states = jax.tree.map(lambda x: jax.ShapeDtypeStruct((2, *x.shape), x.dtype), like)
    step = jax.vmap(members.step(1), in_axes=None, axis_name="batch", axis_size=1)
    new, _ = jax.eval_shape(step, states, members.values, base.train.arrays)
    assert jax.tree.structure(new) == jax.tree.structure(states)


# --- a float of several runs ---------------------------------------------------------


def by_members(function, values):
    """function(Varied) of each member, by vmap as a population has it."""
    return jax.vmap(lambda x: function(Varied("task.x", values, x)))(jnp.array(values))


VALUES = (0.25, 0.5, 0.75)
FUNCTIONS = {
    "1 - x": lambda x: 1 - x,
    "x / 3 + x * x": lambda x: x / 3 + x * x,
    "2 ** x - -x": lambda x: 2**x - -x,
    "minimum": lambda x: jnp.minimum(x, 0.5),
    "asarray": lambda x: jnp.asarray(x, jnp.float32) * 2,
    "traced comparison": lambda x: jnp.where(jnp.float32(0.3) < x, x, 9.0),
    "a branch": lambda x: x * 2 if 0 <= x < 1 and x else None,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_computes_as_the_number_of_each_member(name):
    function = FUNCTIONS[name]
    got = by_members(function, VALUES)
    want = [function(value) for value in VALUES]
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("ask", [bool, float, lambda x: x > 0.3, lambda x: x == 0.5])
def test_where_members_differ_about_the_program_they_are_refused(ask):
    with pytest.raises(UserError) as refusal:
        by_members(lambda x: jnp.float32(ask(x)), (0.0, 0.5))
    assert str(refusal.value).startswith("task.x is {0.0, 0.5} in one population")


def test_two_of_them_are_compared_member_by_member():
    low, high = (
        Varied(n, v, jnp.float32(0)) for n, v in (("a", (1, 2)), ("b", (3, 4)))
    )
    assert low < high
    assert not low >= high
    with pytest.raises(UserError, match="in one population"):
        low.__lt__(Varied("c", (0, 9), jnp.float32(0)))


def test_optax_takes_it_for_a_schedule_and_a_norm():
    def update(value):
        rule = optax.chain(
            optax.clip_by_global_norm(value),
            optax.scale_by_learning_rate(optax.cosine_decay_schedule(value, 10)),
        )
        gradient = {"w": jnp.full(4, 3.0)}
        return rule.update(gradient, rule.init(gradient))[0]["w"]

    got = by_members(update, VALUES)
    np.testing.assert_allclose(got, [update(value) for value in VALUES], rtol=1e-6)
