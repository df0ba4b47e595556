"""Data parallelism by pmap: arrays have a leading axis of this process' devices.

Since jax 0.8 pmap is a jit of shard_map underneath.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from flax import jax_utils

from research.training.axes import BATCH
from research.training.devices import Bounded
from research.training.strategies import PLAIN, Place


def parallel(
    step: Callable[..., tuple[Any, Any]],
    places: Sequence[Place] | None = None,
    over: Sequence[Any] | None = None,
) -> Any:
    """The compiled `step(state, *inputs)` over all devices, the state donated."""

    axes = [None if place == PLAIN else 0 for place in places or ()]
    return Bounded(
        jax.pmap(
            step,
            BATCH,
            in_axes=(0, *axes) if places else 0,
            donate_argnums=0,
            devices=over,
        )
    )


def replicate(tree: Any) -> Any:
    """A copy of each array on every local device, on a new leading axis.

    Laid out as a step's results are: flax' `replicate` names the axis otherwise, and
    the second call of every step was compiled anew.
    """
    count = jax.local_device_count()
    return distribute(
        jax.tree.map(lambda leaf: np.broadcast_to(leaf, (count, *np.shape(leaf))), tree)
    )


def distribute(tree: Any) -> Any:
    """Each local device its part of the leading axis."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (BATCH,))
    sharding = jax.sharding.NamedSharding(mesh, jax.P(BATCH))
    return jax.device_put(tree, sharding)


def fetch(tree: Any) -> Any:
    """One device's copy as numpy arrays."""
    return jax.tree.map(np.asarray, jax_utils.unreplicate(tree))


def shapes(tree: Any, ranks: int) -> Any:
    """Shapes of what `replicate` makes of a tree on so many devices."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((ranks, *leaf.shape), leaf.dtype), tree
    )
