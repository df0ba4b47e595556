"""Examples that are made inside the compiled step: nothing is stored, none comes twice.

The example at a position is a pure function of (seed, split, position), so a run never
sees the end of its data, and those of "test" are independent of those of "train".
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from research.errors import UserError
from research.metrics.measured import Measured
from research.sources.split import Split, fingerprint, refuse_unknown

STREAMS = {"train": 0, "test": 1}

Batch = Callable[[Mapping[str, jax.Array], Any, jax.Array], dict[str, jax.Array]]


def split(name: str, which: str, examples: int, *of: object) -> Split:
    """What the examples of "train" or "test" are drawn from.

    Args:
      name: of the data set.
      which: "train" or "test".
      examples: of an epoch.
      of: all else that says what an example is, for the fingerprint.

    Raises:
      UserError: another split.
    """
    refuse_unknown(name, which)
    # One entry, not none: every array of a split has its first axis.
    arrays = {"stream": np.array([STREAMS[which]], np.uint32)}
    return Split(arrays, examples, fingerprint({}, name, which, *of))


def batch_of(make: Callable[[jax.Array], dict[str, jax.Array]]) -> Batch:
    """The data set's `batch`: `make(key)` gives one example, by name."""

    def batch(arrays, seed, positions):
        """Examples at positions uint32 [batch] of the training."""
        key = jax.random.fold_in(jax.random.key(seed), arrays["stream"][0])
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, positions)
        return jax.vmap(make)(keys)

    return batch


@dataclasses.dataclass(frozen=True)
class Problem:
    """A data set of sequences made by a rule, of a length that is chosen."""

    name: str
    length: int
    make: Callable[[jax.Array, int], dict[str, jax.Array]]
    """(key, length) → one example's entries, see research.data"""
    memoryless: Callable[[int], dict[str, Measured]]
    """of a length: what scores a predictor that remembers nothing"""
    about: str
    MEDIUM: str

    ENDLESS = True

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return self.about.splitlines()[0]

    def load(self, which: str, data_dir: str | Path | None = None) -> Split:
        """What "train" or "test" is drawn from; no file is read."""
        del data_dir
        return split(self.name, which, EXAMPLES, self.length)

    @property
    def SHAPE(self) -> tuple[int, ...]:  # noqa: N802
        """Of an example's one entry."""
        made = jax.eval_shape(lambda k: self.make(k, self.length), jax.random.key(0))
        (entry,) = made.values()
        return entry.shape

    @property
    def batch(self) -> Batch:
        """Examples at positions uint32 [batch] of the training."""
        return batch_of(lambda key: self.make(key, self.length))

    def baselines(self, train: Split, held_out: Split) -> dict[str, Measured]:
        """The score of a predictor that remembers nothing, which is known exactly."""
        del train, held_out
        return self.memoryless(self.length)


EXAMPLES = 100_000  # of an epoch of a problem, a word for so many


def refuse_length(name: str, length: int, least: int, most: int) -> None:
    """Raises UserError for a length that a problem does not have."""
    if not least <= length <= most:
        raise UserError(
            f"--data.length {length}: {name} has lengths from {least} to {most:,}"
        )
