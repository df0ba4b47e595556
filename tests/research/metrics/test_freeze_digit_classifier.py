import hashlib
import json
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from research.errors import UserError
from research.metrics import digit_features
from research.metrics import freeze_digit_classifier as freezer
from research.models.digit_classifier import Model
from research.training.checkpoints import Checkpoints


class State(NamedTuple):
    """The parts of a supervised run's state that are frozen, and one that is not."""

    step: np.ndarray
    params: Any
    stats: Any
    optimizer: tuple[np.ndarray, ...]


@pytest.fixture(autouse=True)
def data_folder(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("data")))


@pytest.fixture
def run(tmp_path):
    """A workdir whose checkpoint holds the shipped weights."""
    variables = digit_features.weights()
    state = State(
        np.array(30), variables["params"], variables["batch_stats"], (np.zeros(3),)
    )
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    checkpoints.save(30, state)
    checkpoints.close()
    (tmp_path / "run" / "config.json").write_text('{"config": {"seed": 7}}')
    return tmp_path / "run"


def test_a_finished_run_becomes_the_two_files(run, tmp_path):
    variables, seed, steps = freezer.trained(run)
    accuracy = freezer.freeze(variables, seed, steps, tmp_path)
    origin = json.loads((tmp_path / "digit_classifier.json").read_text())
    file = tmp_path / "digit_classifier.npz"
    assert origin["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (origin["seed"], origin["steps"]) == (7, 30)
    assert origin["held_out_accuracy"] == accuracy >= 0.985
    again, shipped = digit_features.weights(file), digit_features.weights()
    assert jax.tree.structure(again) == jax.tree.structure(shipped)
    jax.tree.map(np.testing.assert_array_equal, again, shipped)


def test_a_bad_classifier_is_not_written(tmp_path):
    images = np.zeros((1, 28, 28, 1), np.float32)
    fresh = Model().module().init(jax.random.key(0), images)
    with pytest.raises(UserError, match=r"98.5% are asked for"):
        freezer.freeze(dict(fresh), 0, 0, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_workdir_without_a_run_is_told_in_one_line(tmp_path, capsys):
    assert freezer.main([str(tmp_path)]) == 2
    assert freezer.main([]) == 2
    error = capsys.readouterr().err.splitlines()
    assert "holds no checkpoints" in error[0]
    assert error[1].startswith("usage: ")
    assert len(error) == 2
