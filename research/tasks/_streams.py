"""The carried state of a batch's streams: who goes on from it, who starts at zero.

`memory` is the model's state of every stream of the batch, on all devices.
"""

from typing import Any

import jax
import jax.numpy as jnp

from research.task import Batch, example_keys
from research.training.axes import BATCH

NO_DEVICE = 2**32 - 1  # where a device's number stands in the keys of its own dropout


def recalled(memory: Any, zero: Any, batch: Batch) -> Any:
    """The state of this device's streams, `zero` where one begins.

    Args:
      memory: of every stream.
      zero: the zero state of this device's.
      batch: `row` int32 [batch], the stream, and `fresh` bool [batch].
    """

    def rows(kept, zero):
        begins = batch["fresh"].reshape(-1, *[1] * (zero.ndim - 1))
        return jnp.where(begins, zero, kept[batch["row"]])

    return jax.tree.map(rows, memory, zero)


def restarted(key: jax.Array, row: jax.Array, share: float) -> jax.Array:
    """Which windows start at zero by chance, bool [batch], on whatever device."""
    keys = example_keys(jax.random.fold_in(key, NO_DEVICE), row)
    return jax.vmap(jax.random.bernoulli, (0, None))(keys, share)


def kept(memory: Any, after: Any, row: jax.Array) -> Any:
    """All streams' states, those of every device put in their rows.

    Every device keeps all of them, a few kilobytes, so that a checkpoint of one device
    is a checkpoint of the run, on any number of devices.
    """
    rows = jax.lax.all_gather(row, BATCH, tiled=True)

    def put(kept, new):
        everyone = jax.lax.all_gather(new, BATCH, tiled=True)
        return kept.at[rows].set(everyone.astype(kept.dtype))

    return jax.tree.map(put, memory, after)
