"""Settings go to JSON and come back as they were."""

import dataclasses
import json
from pathlib import Path
from typing import get_args

import pytest

from research import parts, settings
from research.errors import UserError
from research.experiment import Budget, Data, Experiment, members
from research.models import seed_pair
from research.optimizers import Optimizer
from research.tasks.gan import Gan


def through_json(value):
    return settings.from_dict(json.loads(json.dumps(settings.to_dict(value))))


@pytest.mark.parametrize("budget", get_args(Budget))
@pytest.mark.parametrize("name", parts.names("experiments"))
def test_every_experiment_survives_json(name, budget):
    made = parts.find("experiments", name).experiment(budget)
    back = through_json(made)
    assert back == made
    assert type(back) is type(made)
    # Equality takes 1 for 1.0 and () for nothing: every leaf has its type back too.
    assert repr(back) == repr(made)
    assert settings.differences(settings.to_dict(back), settings.to_dict(made)) == {}


def tiny(**changes):
    return Experiment(
        steps=1,
        batch_size=4,
        data=Data("digits"),
        model=seed_pair.Model(),
        task=Gan(penalties={"r1": 0.5}),
        optimizer=Optimizer(),
        **changes,
    )


def test_a_path_comes_back_as_a_path():
    made = dataclasses.replace(tiny(), data=Data("digits", Path("/data/of mine")))
    assert through_json(made).data.folder == Path("/data/of mine")
    assert through_json(tiny()).data.folder is None
    assert isinstance(through_json(made).data.name, str)


def test_a_part_names_its_class():
    values = settings.to_dict(tiny())
    assert values["part"] == "research.experiment:Experiment"
    assert values["model"]["part"] == "research.models.seed_pair:Model"
    assert values["task"]["penalties"] == {"r1": 0.5}


def test_a_part_that_is_not_here_is_refused():
    values = settings.to_dict(tiny())
    values["model"]["part"] = "lab_elsewhere.models:Tall"
    with pytest.raises(UserError, match=r"lab_elsewhere\.models"):
        settings.from_dict(values)


def test_differences_name_the_leaf_and_both_values():
    old = settings.to_dict(tiny())
    changed = tiny(seed=7)
    changed = dataclasses.replace(
        changed,
        task=Gan(loss="relativistic", penalties={"r1": 0.5, "r2": 2.0}),
        model=seed_pair.Model(kernel_std=0.02),
    )
    assert settings.differences(old, settings.to_dict(changed)) == {
        "seed": (0, 7),
        "model.kernel_std": (None, 0.02),
        "task.loss": ("non_saturating", "relativistic"),
        "task.penalties.r2": (None, 2.0),
    }


def test_a_tuple_equals_the_list_that_json_makes_of_it():
    assert settings.differences({"a": (1, 2)}, {"a": [1, 2]}) == {}
    assert settings.differences({"a": (1, 2)}, {"a": [2, 1]}) == {"a": ((1, 2), [2, 1])}


def test_a_part_that_another_replaces_shows_all_its_leaves():
    gone = settings.differences({"a": {"x": 1}}, {"a": 3})
    assert gone == {"a": ({"x": 1}, 3)}


def test_members_of_a_comparison_are_its_fields_in_order():
    comparison = parts.find("experiments", "gan_vs_lstm").experiment("minutes")
    runs = members(comparison)
    assert runs is not None
    assert list(runs) == ["seed_gan", "steady_gan", "pixel_lstm"]
    for name, run in runs.items():
        assert run == parts.find("experiments", name).experiment("minutes")
    assert members(tiny()) is None


def test_a_pair_that_may_be_left_out_comes_back_as_a_pair():
    data = Data("images", path=Path("a.npz"), value_range=(0.0, 1.0))
    assert repr(through_json(data)) == repr(data)
    assert through_json(Data("digits")).value_range is None


def test_a_field_that_came_later_has_its_default_in_settings_of_before():
    written = settings.to_dict(tiny())
    before = json.loads(json.dumps(written))
    del before["log_every"], before["model"]["kernel_std"]
    assert settings.completed(before) == written
