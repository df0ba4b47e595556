"""Which runs a population has, and which of them one program can train."""

import dataclasses

import pytest

from research import population
from research.errors import UserError
from research.experiment import Data, Experiment, Population
from research.models import seed_pair
from research.optimizers import Optimizer
from research.tasks.gan import Gan


@pytest.fixture
def experiment():
    return Experiment(
        steps=5,
        batch_size=8,
        data=Data("digits"),
        model=seed_pair.Model(),
        task=Gan(penalties={"r1": 1.0}),
        optimizer=Optimizer(),
        seed=3,
    )


def of(experiment, *vary, seeds=1):
    return dataclasses.replace(experiment, population=Population(seeds, vary))


def test_a_single_run_is_its_own_population(experiment):
    assert population.members(experiment) == {"seed_3": experiment}


def test_every_combination_is_a_run_that_knows_no_population(experiment):
    vary = ("optimizer.learning-rate=1e-3,1e-4", "task.penalties.r1=0.5,2")
    found = population.members(of(experiment, *vary, seeds=2))
    assert len(found) == 8
    name = "learning_rate_0.0001-r1_2-seed_4"
    assert found[name] == dataclasses.replace(
        experiment,
        seed=4,
        task=Gan(penalties={"r1": 2.0}),
        optimizer=Optimizer(learning_rate=1e-4),
    )


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("optimizer.learning_rat=1", "did you mean 'optimizer.learning_rate'"),
        ("task.loss=1,2", "no float setting 'task.loss'"),
        ("steps=1,2", "no float setting 'steps'"),
        ("task.ema=", "write it as task.ema=0.1,0.2"),
        ("task.ema", "write it as task.ema=0.1,0.2"),
        ("task.ema=0.1,high", "write it as task.ema=0.1,0.2"),
    ],
)
def test_what_cannot_vary_is_refused(experiment, entry, says):
    with pytest.raises(UserError, match=says) as refusal:
        population.members(of(experiment, entry))
    assert "\n" not in str(refusal.value)


def test_one_setting_twice_is_refused(experiment):
    twice = ("optimizer.learning-rate=1e-3", "optimizer.learning_rate=1e-4")
    says = r"=1e-4: optimizer\.learning_rate is varied already: write all"
    with pytest.raises(UserError, match=says):
        population.members(of(experiment, *twice))


@pytest.mark.parametrize("values", ["0.1,0.10000001", "0.1,0.1"])
def test_values_of_one_name_are_refused(experiment, values):
    """The one run would take the other's workdir."""
    says = f"vary task.ema={values}: two runs would be 'ema_0.1-seed_3'; give"
    with pytest.raises(UserError, match=says):
        population.members(of(experiment, f"task.ema={values}"))


def test_no_seeds_and_more_runs_than_a_machine_holds_are_refused(experiment):
    many = ("task.ema=0.1,0.2", "optimizer.beta1=0,0.5")
    with pytest.raises(UserError, match=r"--population\.\* are 10,004 runs: give 10,"):
        population.members(of(experiment, *many, seeds=2_501))
    with pytest.raises(UserError, match=r"--population\.seeds is 0: give 1 or more"):
        population.members(of(experiment, seeds=0))


def test_one_program_trains_what_differs_in_seeds_and_floats(experiment):
    def changed(**fields):
        return dataclasses.replace(experiment, **fields)

    runs = {
        "a": experiment,
        "seed": changed(seed=9),
        "width": changed(model=seed_pair.Model(width=8)),
        "weight": changed(task=Gan(penalties={"r1": 0.25})),
        "loss": changed(task=Gan("relativistic", penalties={"r1": 1.0})),
        "clipped": changed(optimizer=Optimizer(clip_norm=1.0)),
        "averaged": changed(task=Gan(penalties={"r1": 1.0}, ema=0.9)),
        "wide": changed(model=seed_pair.Model(width=8), seed=4),
    }
    # What is switched off by None or 0 is no part of the program.
    assert population.alike(runs) == [
        ["a", "seed", "weight"],
        ["width", "wide"],
        ["loss"],
        ["clipped"],
        ["averaged"],
    ]
    assert population.differing([runs["a"], runs["seed"], runs["weight"]]) == {
        ("seed",): (3, 9, 3),
        ("task", "penalties", "r1"): (1.0, 1.0, 0.25),
    }
