"""The least time that a step can take, and what sets it.

Each of three parts at its published peak, all of them at once: no step is faster. What
a step waits for between them (the order of an LSTM's steps, say) comes on top.
"""

from typing import NamedTuple

from launch.ahead.chips import Chip
from launch.ahead.products import Work
from launch.ahead.program import Collective


class Bound(NamedTuple):
    """Seconds of one step."""

    matrix_unit: float  # the products
    memory: float  # the state is read and written once, the fresh batch aside
    network: float  # every device's part is sent to the others

    @property
    def seconds(self) -> float:
        return max(self)

    @property
    def set_by(self) -> str:
        return self._fields[self.index(self.seconds)].replace("_", " ")


def of(
    chip: Chip,
    devices: int,
    work: Work,
    state: int,
    exchanged: list[Collective],
) -> Bound:
    """The bound of one device's step.

    Args:
      chip: the whole one.
      devices: that exchange.
      work: of one device.
      state: bytes.
      exchanged: of one device; a sum over n devices sends 2 (n − 1) / n of its bytes
        from each, whatever the way (Patarasu and Yuan 2009).
    """
    device = chip.of_device()
    sent = sum(
        c.bytes * (2 if c.kind == "all-reduce" else 1) * (devices - 1) / devices
        for c in exchanged
    )
    return Bound(
        work.wide / device.flops + work.narrow / device.narrow_flops,
        2 * state / device.bandwidth,
        sent / device.interconnect,
    )
