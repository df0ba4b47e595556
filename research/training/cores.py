"""A CPU device for each core, where populations alone are trained.

One program keeps little more than one core busy with small networks, and on several
devices the members of a population are dealt out (research/training/layout.py). A run
alone keeps one device: several would share each of its batches out.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax

from research import population
from research.experiment import Experiment


def take_cores(together: Iterable[Mapping[Any, Experiment]]) -> None:
    """Must come before JAX looks for devices; what the user set stays.

    Args:
      together: the runs of each call of `run_all` that is to come.
    """
    chosen = "JAX_NUM_CPU_DEVICES" in os.environ or jax.distributed.is_initialized()
    if chosen or "device_count=" in os.environ.get("XLA_FLAGS", ""):
        return
    groups = [
        (len(names), runs[names[0]].batch_size)
        for runs in together
        for names in population.alike(runs)
    ]
    devices = wanted(groups, os.cpu_count() or 1)
    if devices > 1:
        jax.config.update("jax_num_cpu_devices", devices)


def wanted(groups: Sequence[tuple[int, int]], cores: int) -> int:
    """The most devices, up to `cores`, that suit groups of (members, batch size)."""

    def suits(devices: int) -> bool:
        return all(
            devices <= members and batch % devices == 0 for members, batch in groups
        )

    return max(filter(suits, range(1, cores + 1)))
