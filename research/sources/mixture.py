"""Mixtures of round Gaussians in the plane, drawn inside the compiled step."""

import jax
import jax.numpy as jnp
import numpy as np

from research.sources import made
from research.sources.split import Split

EXAMPLES = 100_000  # of an epoch: PacGAN's training points (Lin 2018)


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
    return made.split(name, which, EXAMPLES, modes.tobytes(), sigma)


def batch_of(modes: np.ndarray, sigma: float) -> made.Batch:
    """The data set's `batch`: point float32 [batch, 2] and label int32 [batch].

    Every mode is equally likely, whatever came before.
    """

    def point(key):
        which, around = jax.random.split(key)
        label = jax.random.randint(which, (), 0, len(modes))
        offset = sigma * jax.random.normal(around, (2,))
        return {"point": jnp.asarray(modes)[label] + offset, "label": label}

    return made.batch_of(point)
