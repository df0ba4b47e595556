"""Data parallelism by pmap: one copy of the state on each local device.

The state is replicated, its gradients and statistics are averaged inside the step, so
that the copies stay equal; the state that a step takes is donated to it. Since jax
0.8 pmap is a jit of shard_map underneath.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
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


def parallel(
    step: Callable[..., tuple[Any, Any]],
    in_axes: Any = 0,
    over: Sequence[Any] | None = None,
) -> Any:
    """The compiled `step(state, …)` over all devices, the state donated.

    Arguments and results have a leading device axis: see `replicate` and `fetch`.
    Those whose `in_axes` is None have none and go to every device.

    Args:
      step: of one device.
      in_axes: see above.
      over: devices to compile for; None: those of this run.
    """
    return jax.pmap(
        step, axis_name=BATCH, donate_argnums=0, in_axes=in_axes, devices=over
    )


def repeated(step: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """`many(state, count, *inputs)`: `count` steps in one call, the last one's metrics.

    The same program for every count, so that a run's bits do not depend on it.
    """

    def many(state, count, *inputs):
        shapes = jax.eval_shape(step, state, *inputs)[1]
        none = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.fori_loop(
            0, count, lambda _, carry: step(carry[0], *inputs), (state, none)
        )

    return many


def repeats_well(step: Callable[..., Any], ranks: int, *arguments: Any) -> bool:
    """Whether `repeated(step)` is as quick as calls of `step`, one after another.

    Not where XLA makes convolutions on the CPU: inside a loop it leaves its fast ones
    out, and a step of `digit_classifier` took 2.1 s instead of 0.17 s (jax 0.10.2).

    Args:
      step: of one device, under the axis `BATCH`.
      ranks: length of that axis.
      arguments: of `step`, arrays or shapes, without a device axis.
    """
    if jax.default_backend() != "cpu":
        return True
    traced = jax.make_jaxpr(step, axis_env=[(BATCH, ranks)])(*arguments)
    return "conv_general_dilated" not in str(traced)


def replicate(tree: Any) -> Any:
    """A copy of each array on every local device, on a new leading axis."""
    return jax_utils.replicate(tree)


def fetch(tree: Any) -> Any:
    """One device's copy as numpy arrays."""
    return jax.tree.map(np.asarray, jax_utils.unreplicate(tree))
