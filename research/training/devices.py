"""Data parallelism by pmap: one copy of the state on each local device.

The state is replicated, its gradients and statistics are averaged inside the step, so
that the copies stay equal; the state that a step takes is donated to it. Since jax
0.8 pmap is a jit of shard_map underneath.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import jax_utils

from research.errors import UserError
from research.training.axes import BATCH

# Unbounded, a run on several CPU devices can starve XLA's thread pool in a collective
# and abort (reference: jax 0.10.2, 2 cores, 4 devices); with 2 in flight the host is
# still ahead of the device.
STEPS_IN_FLIGHT = 2


def share(batch_size: int, devices: int) -> int:
    """Examples of a batch for each device.

    Raises:
      UserError: the batch does not divide over the devices.
    """
    if batch_size % devices:
        below = batch_size // devices * devices
        near = f"{below} or {below + devices}" if below else str(devices)
        raise UserError(
            f"--batch-size {batch_size} does not divide over {devices} devices: "
            f"take {near}"
        )
    return batch_size // devices


def parallel(step: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """The compiled `step(state, …)` over all devices, the state donated.

    Arguments and results have a leading device axis: see `replicate` and `fetch`.
    """
    return jax.pmap(step, axis_name=BATCH, donate_argnums=0)


def replicate(tree: Any) -> Any:
    """A copy of each array on every local device, on a new leading axis."""
    return jax_utils.replicate(tree)


def fetch(tree: Any) -> Any:
    """One device's copy as numpy arrays."""
    return jax.tree.map(np.asarray, jax_utils.unreplicate(tree))
