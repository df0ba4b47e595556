"""A step that gave a number that is not finite, once more and step by step.

The loop writes what such a step began from into the workdir's `not_finite`: the whole
state and the batch of all devices, as arrays named `state/…` and `batch/…` of an npz
file. `launch/run inspect WORKDIR --not-finite` computes the step again, on one device.
"""

import traceback
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from research.errors import UserError
from research.settings import from_dict
from research.training.axes import BATCH
from research.training.files import read_json
from research.training.hashing import by_name
from research.training.job import prepare, state_like, step_key
from research.training.not_finite import in_another_order

ROOT = Path(__file__).parents[2]


class Replay(NamedTuple):
    """What is not finite: names and how many numbers of each."""

    file: Path
    step: int  # made before it
    batch: dict[str, int]
    state_before: dict[str, int]
    metrics: dict[str, int]
    state: dict[str, int]
    where: str | None  # the first operation to give one, and the line it is from


def replay(workdir: Path) -> Replay:
    """Computes the newest step that was written once more.

    Raises:
      UserError: none was, or it is of other code.
    """
    files = sorted((workdir / "not_finite").glob("step_*.npz"))
    if not files:
        raise UserError(
            f"{workdir}/not_finite: no step gave a number that is not finite"
        )
    about = read_json(workdir / "config.json")
    job = prepare(about["experiment"], from_dict(about["config"]))
    with np.load(files[-1]) as arrays:
        job = in_another_order(job, int(arrays["rewinds"]))
        batch = {
            n.removeprefix("batch/"): arrays[n] for n in arrays if n[:6] == "batch/"
        }
        state = _in_the_form_of(state_like(job), arrays, files[-1])
    step = int(state.step)
    one = jax.jit(jax.vmap(lambda s, b: job.task.step(s, b, step_key(job, step)),
                           axis_name=BATCH))  # fmt: skip
    inputs = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (state, batch))
    after, metrics = jax.tree.map(lambda leaf: np.asarray(leaf)[0], one(*inputs))
    found = map(not_finite, (batch, state, metrics, after))
    return Replay(files[-1], step, *found, where=_first(one, inputs))


def not_finite(tree: Any) -> dict[str, int]:
    """How many numbers of each leaf are not finite, without leaves of none."""
    leaves = {name: np.asarray(leaf) for name, leaf in by_name(tree).items()}
    counts = {n: int((~np.isfinite(leaf)).sum()) for n, leaf in leaves.items()}
    return {name: count for name, count in counts.items() if count}


def told(found: Replay) -> list[str]:
    """The replay in words."""
    lines = [f"step {found.step + 1}, from {found.file}"]
    for name in ("batch", "state_before", "metrics", "state"):
        counts = getattr(found, name)
        words = ", ".join(f"{leaf} ({count})" for leaf, count in counts.items())
        lines.append(f"  {name.replace('_', ' '):13} {words or 'all finite'}")
    return [*lines, f"  {'first':13} {found.where or 'none, on this one device'}"]


def _first(step: Any, inputs: Any) -> str | None:
    """The first operation that gives NaN or infinity, by jax's own search."""
    with jax.debug_nans(True), jax.debug_infs(True):
        try:
            jax.block_until_ready(step(*inputs))
        except FloatingPointError as error:
            frames = traceback.extract_tb(error.__traceback__)
            ours = [f for f in frames if f.filename.startswith(str(ROOT))]
            own = [f for f in ours if not f.filename.startswith(str(ROOT / ".venv"))]
            places = [f"{f.filename}:{f.lineno} {f.line}" for f in own[-1:]]
            return ", ".join([str(error).partition("\n")[0], *places])
    return None


def _in_the_form_of(like: Any, arrays: Any, file: Path) -> Any:
    leaves = {}
    for name, leaf in by_name({"state": like}).items():
        if name not in arrays or arrays[name].shape != leaf.shape:
            raise UserError(f"{file} is of other code: it has no such {name}")
        leaves[name] = arrays[name].view(leaf.dtype)  # numpy knows no bfloat16
    return jax.tree.unflatten(jax.tree.structure(like), list(leaves.values()))
