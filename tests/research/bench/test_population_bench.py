"""The bench of populations times the grid's own experiment."""

from experiments import grid
from research.bench import population


def test_its_larger_case_is_the_experiment_that_is_named():
    found, named = population._seed(128, "pairing, R1, R2", 0), grid.experiment()
    for field in ("data", "model", "task", "optimizer", "batch_size", "steps", "seed"):
        assert getattr(found, field) == getattr(named, field), field
