"""Mixtures of round Gaussians in the plane, drawn inside the compiled step.

Nothing is stored and no point comes twice: the point at a position is a pure function
of (seed, split, position), so a run never sees the end of its data.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from research.errors import UserError
from research.sources.split import Split, fingerprint

EXAMPLES = 100_000  # of an epoch: PacGAN's training points (Lin 2018)
STREAMS = {"train": 0, "test": 1}

Batch = Callable[
    [Mapping[str, jax.Array], int | jax.Array, jax.Array], dict[str, jax.Array]
]


def split(name: str, which: str, modes: np.ndarray, sigma: float) -> Split:
    """What the points of "train" or "test" are drawn from.

    Args:
      name: of the data set.
      which: "train" or "test"; their points are independent.
      modes: float32 [modes, 2], the centres.
      sigma: standard deviation of each mode, along each axis.

    Raises:
      UserError: another split.
    """
    if which not in STREAMS:
        raise UserError(f"{name} has no split {which!r}: 'train' or 'test'")
    # One entry, not none: every array of a split has its first axis.
    arrays = {"stream": np.array([STREAMS[which]], np.uint32)}
    return Split(arrays, EXAMPLES, fingerprint({"modes": modes}, name, which, sigma))


def batch_of(modes: np.ndarray, sigma: float) -> Batch:
    """The data set's `batch`: point float32 [batch, 2] and label int32 [batch].

    Every mode is equally likely, whatever came before.
    """

    def batch(arrays, seed, positions):
        """Points of the mixture at positions uint32 [batch] of the training."""
        key = jax.random.fold_in(jax.random.key(seed), arrays["stream"][0])
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, positions)

        def one(key):
            which, around = jax.random.split(key)
            label = jax.random.randint(which, (), 0, len(modes))
            return label, sigma * jax.random.normal(around, (2,))

        label, offset = jax.vmap(one)(keys)
        return {"point": jnp.asarray(modes)[label] + offset, "label": label}

    return batch
