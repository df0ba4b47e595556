"""What every way to train on several devices needs: see `research.training.strategies`.

The state is replicated, its gradients and statistics are averaged inside the step, so
that the copies stay equal.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from research.errors import UserError
from research.training.axes import BATCH

# Unbounded, a run on several CPU devices can starve XLA's thread pool in a collective
# and abort (reference: jax 0.10.2, 2 cores, 4 devices); with 2 in flight the host is
# still ahead of the device.
STEPS_IN_FLIGHT = 2


class Bounded:
    """A compiled `step(state, …)` → state, metrics that never runs far ahead.

    A call waits until all but STEPS_IN_FLIGHT of those before it are done, so that no
    loop over it can end in the deadlock above.
    """

    def __init__(self, program: Any):
        self._program = program
        self._in_flight: deque[Any] = deque()  # metrics: states are donated

    def __call__(self, state: Any, *inputs: Any) -> tuple[Any, Any]:
        result = self._program(state, *inputs)
        self._in_flight.append(result[1])
        if len(self._in_flight) > STEPS_IN_FLIGHT:
            jax.block_until_ready(self._in_flight.popleft())
        return result

    def lower(self, *arguments: Any) -> Any:
        """As of a function that `jax.jit` gave."""
        return self._program.lower(*arguments)


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
