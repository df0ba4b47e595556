"""Batches made on the host, some steps ahead, for data that the device cannot hold.

A grain pipeline over the steps: what a step needs is a pure function of its number, so
a resumed run starts it anywhere, under any number of devices and processes. Threads
make the batches on the host's own processor, by the same function that the compiled
step calls where the data is on the device, and put them on the devices.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from research.errors import UserError

THREADS = 2  # that make batches
MADE, PLACED = 4, 2  # batches ahead: on the host, on the devices
SHARE_OF_MEMORY = 0.5  # of a device, that data may take beside the training


class Feed:
    """The batches of the steps from `start` on, in their order."""

    def __init__(
        self,
        make: Callable[[int], Any],
        place: Callable[[Any], Any],
        start: int,
        stop: int,
    ):
        """Begins to make them.

        Args:
          make: a step's batch of this process, numpy arrays [devices, examples, …].
          place: onto the devices, `distribute` of a strategy.
          start: the first step.
          stop: one past the last.
        """
        import grain  # seconds, for those who need it

        steps = grain.MapDataset.range(start, stop).map(make)
        options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=MADE)
        made = steps.to_iter_dataset(options).map(place)
        ahead = grain.experimental.ThreadPrefetchIterDataset(
            made, prefetch_buffer_size=PLACED
        )
        self._batches = iter(ahead)
        self.waited = 0.0  # seconds that `next` took, of all but the first

        self._first = True

    def next(self) -> Any:
        """The next step's batch on the devices."""
        began = time.perf_counter()
        batch = next(self._batches)
        if not self._first:
            self.waited += time.perf_counter() - began
        self._first = False
        return batch


def on_host(arrays: Any) -> Any:
    """Arrays where the host's own processor computes on them, whatever the devices."""
    return jax.device_put(arrays, _processor())


def maker(
    batch: Callable[..., Any],
    arrays: Any,
    seed: int,
    positions: Callable[[int], np.ndarray],
) -> Callable[[int], Any]:
    """The function that makes a step's batch on the host.

    Args:
      batch: of the data set, see `research.data`.
      arrays: its split's, as `on_host` gives them.
      seed: of the order.
      positions: of a step, uint32 [devices, examples].
    """
    compiled = jax.jit(lambda arrays, places: batch(arrays, seed, places))
    processor = _processor()

    def make(step: int) -> Any:
        places = positions(int(step))
        found = compiled(arrays, jax.device_put(places.ravel(), processor))
        return jax.tree.map(
            lambda leaf: np.asarray(leaf).reshape(*places.shape, *leaf.shape[1:]), found
        )

    return make


def refuse_too_large(arrays: Any, memory: int | None) -> None:
    """Raises UserError for data that would leave a device too little room.

    Args:
      arrays: that every device would hold.
      memory: bytes of one; None where that is not known.
    """
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    if memory is not None and size > SHARE_OF_MEMORY * memory:
        raise UserError(
            f"the training data takes {size / 2**30:.1f} GiB, more than half of a "
            f"device's {memory / 2**30:.1f}: leave it on the host with "
            f"--data.placement host"
        )


def device_memory() -> int | None:
    """Bytes of a device of this process; None where it does not say (CPU)."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")


def _processor() -> Any:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        raise UserError(
            "--data.placement host computes batches on the CPU, which JAX was told not "
            "to use: add cpu to JAX_PLATFORMS, such as tpu,cpu"
        ) from None
