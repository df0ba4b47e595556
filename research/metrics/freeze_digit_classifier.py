"""Turns a finished run of the experiment `digit_classifier` into the shipped weights.

    python -m research.metrics.freeze_digit_classifier WORKDIR

writes `digit_classifier.npz` (matrices in float16, vectors in float32) and
`digit_classifier.json` beside this file, after measuring the written weights on the
1,000 held-out digits.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from research.data import digits
from research.errors import UserError
from research.metrics import digit_features
from research.training.checkpoints import Checkpoints

LEAST = 0.985  # accuracy on held-out digits; below, modes are counted too wrongly
COMMAND = (
    "python -m launch train digit_classifier --workdir WORKDIR && "
    "python -m research.metrics.freeze_digit_classifier WORKDIR"
)


def freeze(variables: dict[str, Any], seed: int, steps: int, folder: Path) -> float:
    """Writes the two files and returns the held-out accuracy of what was written.

    Args:
      variables: `params` and `batch_stats` of the classifier, arrays in nested dicts.
      seed: of the run.
      steps: that it took.
      folder: where the files go.

    Raises:
      UserError: an accuracy below 98.5 %; nothing is written.
    """
    arrays = rounded(variables)
    accuracy = held_out_accuracy(digit_features.unflatten(arrays))
    if accuracy < LEAST:
        raise UserError(
            f"the classifier names {accuracy:.1%} of the held-out digits, and "
            f"{LEAST:.1%} are asked for: train it for longer or with another seed"
        )
    file = folder / digit_features.WEIGHTS.name
    with file.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    origin = {
        "model": "research.models.digit_classifier",
        "command": COMMAND,
        "seed": seed,
        "steps": steps,
        "held_out_accuracy": accuracy,
        "held_out_digits": len(digits.load("test").arrays["label"]),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    file.with_suffix(".json").write_text(json.dumps(origin, indent=2) + "\n")
    return accuracy


def rounded(variables: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays by path, `params/Conv_0/kernel`: what a float16 keeps of matrices."""
    flat = jax.tree_util.tree_flatten_with_path(
        {name: variables[name] for name in ("params", "batch_stats")}
    )[0]
    named = {"/".join(str(key.key) for key in path): leaf for path, leaf in flat}
    return {
        name: np.asarray(leaf, np.float16 if np.ndim(leaf) > 1 else np.float32)
        for name, leaf in named.items()
    }


def held_out_accuracy(variables: dict[str, Any]) -> float:
    """Share of the held-out digits that the classifier names."""
    arrays = digits.load("test").arrays
    floats = jax.tree.map(lambda leaf: leaf.astype(np.float32), variables)
    seen = digit_features.features(arrays["image"], floats)
    return float(np.mean(seen.labels == arrays["label"]))


def trained(workdir: Path) -> tuple[dict[str, Any], int, int]:
    """Variables, seed and steps of a run, from its last checkpoint and configuration.

    Raises:
      UserError: no checkpoint there.
    """
    folder = workdir.absolute() / "checkpoints"
    if not folder.is_dir():
        raise UserError(f"{workdir} holds no checkpoints: train digit_classifier first")
    checkpoints = Checkpoints(folder)
    try:
        kept = checkpoints.steps()
        if not kept:
            raise UserError(f"{workdir} holds no finished checkpoint: resume the run")
        step = kept[-1]
        state = checkpoints.restore(step)
    finally:
        checkpoints.close()
    config = json.loads((workdir / "config.json").read_text())["config"]
    variables = {"params": state["params"], "batch_stats": state["stats"]}
    return variables, config["seed"], step


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(
            "usage: python -m research.metrics.freeze_digit_classifier WORKDIR",
            file=sys.stderr,
        )
        return 2
    try:
        variables, seed, steps = trained(Path(arguments[0]))
        accuracy = freeze(variables, seed, steps, digit_features.WEIGHTS.parent)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{digit_features.WEIGHTS}: {accuracy:.2%} of the held-out digits named")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
