"""The accelerators that a step is compiled for, with their makers' published figures.

Cloud TPU documentation (v4, v5e, v5p, v6e, TPU7x); NVIDIA, data sheet of the H100 SXM,
without its sparsity. Interconnect counts one direction: where a page gives both, half
of it.
"""

from typing import NamedTuple

GIB = 2**30
# jax takes three quarters, unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise.
H100_MEMORY = 84_978_434_048 * 3 // 4


class Chip(NamedTuple):
    """One chip. A device is what jax shows: a chip, or on v7x half of one."""

    name: str
    platform: str  # tpu or gpu
    devices: int  # of one chip
    memory: int  # bytes of HBM
    flops: float  # a second, matrix products at jax's default precision for float32
    narrow_flops: float  # the same in bfloat16 and float16
    bandwidth: float  # bytes a second to and from HBM
    interconnect: float  # bytes a second out to other chips
    cores: int  # that a slice's name counts for one chip

    def of_device(self) -> "Chip":
        """The share of one device."""
        n = self.devices
        return self._replace(
            memory=self.memory // n,
            flops=self.flops / n,
            narrow_flops=self.narrow_flops / n,
            bandwidth=self.bandwidth / n,
            interconnect=self.interconnect / n,
        )


CHIPS = {
    chip.name: chip
    for chip in (
        # By default a TPU's float32 products are one pass in bfloat16.
        Chip("v4", "tpu", 1, 32 * GIB, 275e12, 275e12, 1228e9, 300e9, 2),
        Chip("v5e", "tpu", 1, 16 * GIB, 197e12, 197e12, 819e9, 200e9, 1),
        Chip("v5p", "tpu", 1, 95 * GIB, 459e12, 459e12, 2765e9, 600e9, 2),
        Chip("v6e", "tpu", 1, 32 * GIB, 918e12, 918e12, 1638e9, 400e9, 1),
        Chip("v7x", "tpu", 2, 192 * GIB, 2307e12, 2307e12, 7380e9, 600e9, 2),
        # A GPU's are TF32.
        Chip("h100", "gpu", 1, H100_MEMORY, 494.7e12, 989.4e12, 3350e9, 450e9, 1),
    )
}
