"""The bench of populations times the grid's own experiment."""

from experiments import grid
from launch._settings import choose
from research.bench import population
from research.population import members


def test_its_larger_case_is_the_experiment_that_is_named():
    found, named = population._seed(128, "pairing, R1, R2", 0), grid.experiment()
    for field in ("data", "model", "task", "optimizer", "batch_size", "steps", "seed"):
        assert getattr(found, field) == getattr(named, field), field


def test_its_commands_train_sixteen_seeds_at_once_and_the_first_of_them_alone():
    *_, train, name = population.COMMAND
    assert train == "train"
    seeds = {
        how: [
            [one.seed for one in members(choose(name, options).settings).values()]
            for options in each
        ]
        for how, each in population.OPTIONS.items()
    }
    assert seeds == {"population": [[*range(16)]], "alone": [[0], [1], [2], [3]]}
