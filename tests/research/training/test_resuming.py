"""What is told of a checkpoint that another machine or other versions have made."""

import json
import shutil

import jax

from research.training.hashing import state_hash
from research.training.run import run
from research.training.stop import StopRequest
from research.training.trained import kept_states


def hashes(workdir):
    return {step: state_hash(state) for step, state in kept_states(workdir)}


def test_a_checkpoint_of_other_versions_goes_on_and_the_difference_is_told(
    twelve_steps, tmp_path, capfd
):
    settings = "small", "A claim.", twelve_steps, tmp_path, StopRequest()
    run(*settings)
    for step in (9, 12):  # what a kill after step 6 leaves
        shutil.rmtree(tmp_path / "checkpoints" / str(step))
    about = tmp_path / "checkpoints" / "6" / "about" / "metadata"
    saved = json.loads(about.read_text())
    saved["made_with"]["versions"] |= {"jax": "0.1", "optax": "0.2"}
    about.write_text(json.dumps(saved))
    before, config = hashes(tmp_path), (tmp_path / "config.json").read_bytes()

    assert capfd.readouterr().err == ""
    run(*settings)
    (line,) = capfd.readouterr().err.splitlines()

    assert "the checkpoint of step 6 was made with other versions" in line
    assert f"versions.jax 0.1 → {jax.__version__}" in line
    assert "versions.optax 0.2 → " in line
    assert "flax" not in line
    after = hashes(tmp_path)
    assert list(after) == [6, 9, 12]
    assert after[6] == before[6]
    assert (tmp_path / "config.json").read_bytes() == config
