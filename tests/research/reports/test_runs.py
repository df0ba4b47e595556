import json

import numpy as np
import pytest

from research.errors import UserError
from research.reports.runs import find_members, read_run, read_runs


def test_a_workdir_is_read_as_it_was_written(comparison):
    run = read_run(comparison / "pixel_lstm")
    assert (run.name, run.family, run.steps) == ("pixel_lstm", "lstm", 200)
    assert run.thresholded
    assert run.metrics["bits_per_pixel"].high == 0.4935
    steps, losses = run.series("validation_loss")
    assert steps == [100, 200]
    assert losses[1] < losses[0]
    assert run.pictures is not None
    assert run.pictures.shape == (25, 28, 28, 3)
    assert not read_run(comparison / "steady_gan").thresholded


def test_members_are_the_folder_itself_or_those_below(comparison):
    names = [path.name for path in find_members(comparison)]
    assert names == ["pixel_lstm", "seed_gan", "steady_gan"]
    assert find_members(comparison / "seed_gan") == [comparison / "seed_gan"]
    with pytest.raises(UserError, match="holds no run"):
        find_members(comparison / "seed_gan" / "samples")


def test_two_runs_of_one_experiment_are_told_apart_by_their_folders(comparison):
    config = json.loads((comparison / "seed_gan" / "config.json").read_text())
    config["experiment"] = "steady_gan"
    (comparison / "seed_gan" / "config.json").write_text(json.dumps(config))
    runs = read_runs([comparison / "seed_gan", comparison / "steady_gan"])
    assert [run.name for run in runs] == ["seed_gan", "steady_gan"]


def test_a_run_under_way_has_its_log_and_no_numbers(comparison):
    (comparison / "seed_gan" / "summary.json").unlink()
    run = read_run(comparison / "seed_gan")
    assert (run.steps, run.summary, run.metrics) == (600, {}, {})


def test_damage_is_refused_in_one_line(comparison):
    np.save(comparison / "seed_gan" / "samples" / "final.npy", np.zeros(3))
    file = comparison / "seed_gan" / "samples" / "final.npy"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=r"final\.npy is damaged"):
        read_run(comparison / "seed_gan")
    (comparison / "steady_gan" / "config.json").write_text('{"experiment": "x"}')
    with pytest.raises(UserError, match="another version"):
        read_run(comparison / "steady_gan")
