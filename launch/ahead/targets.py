"""Slices and cards by name: `v5e-8`, `v4-32`, `h100-1`.

The number is Google's own: chips for v5e and v6e, TensorCores (two a chip) for v4, v5p
and v7x. A size that is not in the table cannot be had.
"""

import logging
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

from launch.ahead.chips import CHIPS, Chip
from research.errors import UserError
from research.parts import suggestion

FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
SOLID = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8")
LARGE = (*SOLID, "8x8x16", "8x16x16")
# Google's tables of slice shapes; of equal sizes the one that a bare name gives.
TOPOLOGIES = {
    "v4": LARGE,
    "v5e": FLAT,
    "v5p": (*LARGE, "16x16x16", "16x16x24"),
    "v6e": FLAT,
    "v7x": LARGE,
    "h100": ("1", "8"),
}
CLOUD_NAMES = {"v5litepod": "v5e", "tpu7x": "v7x"}  # what Google's tools also say


class Target(NamedTuple):
    """A slice of chips, or the cards of one machine."""

    name: str
    chip: Chip
    topology: str  # of chips, e.g. 2x4
    chips: int

    @property
    def devices(self) -> int:
        """As jax counts them."""
        return self.chips * self.chip.devices

    @property
    def hosts(self) -> int:
        """Machines: a v5e or v6e one has up to 8 chips, the others 4; h100 one."""
        if self.chip.platform == "gpu":
            return 1
        if self.chip.name in ("v5e", "v6e"):
            return 1 if self.chips <= 8 else self.chips // 4
        return max(self.chips // 4, 1)


def names() -> dict[str, tuple[str, str]]:
    """Every target: its chip and topology."""
    return {
        f"{chip}-{math.prod(map(int, topology.split('x'))) * CHIPS[chip].cores}": (
            chip,
            topology,
        )
        for chip, topologies in TOPOLOGIES.items()
        for topology in topologies
    }


def find(name: str) -> Target:
    """The target of a name.

    Raises:
      UserError: no such chip, or no slice of that size; the nearest one is given.
    """
    known, (kind, _, size) = names(), name.lower().partition("-")
    kind = CLOUD_NAMES.get(kind, kind)
    if f"{kind}-{size}" in known:
        chip, topology = known[f"{kind}-{size}"]
        count = math.prod(map(int, topology.split("x")))
        return Target(f"{kind}-{size}", CHIPS[chip], topology, count)
    if kind not in CHIPS:
        raise UserError(f"--target {name}{suggestion(name, list(known))}")
    sizes = [int(n.partition("-")[2]) for n in known if n.partition("-")[0] == kind]
    unit = "chips" if CHIPS[kind].cores == 1 else "TensorCores, two a chip"
    unit = "cards" if CHIPS[kind].platform == "gpu" else unit
    wanted = int(size) if size.isdecimal() else min(sizes)
    near = min(sizes, key=lambda s: abs(math.log(s / max(wanted, 1))))
    raise UserError(
        f"--target {name}: there is no such slice; did you mean '{kind}-{near}'? "
        f"({kind} comes in {', '.join(map(str, sizes))} {unit})"
    )


def devices(target: Target) -> list[Any]:
    """The target's devices, to compile for; nothing can be run on them.

    Raises:
      UserError: the compiler is not installed.
    """
    from kernels.lstm import tpu_compile

    # libtpu reads them once, whoever loads it first.
    for variable, value in tpu_compile.ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    # Messages of C++ parts; libtpu has its own switch.
    os.environ.setdefault("TPU_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")  # no driver, no cuDNN
    # jax looks at every plugin, and tells at length of a missing driver or cuDNN.
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.CRITICAL)
    try:
        found = _tpus(target) if target.chip.platform == "tpu" else _cards(target)
    except (RuntimeError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"the compiler for {target.name} cannot be used here ({reason}): "
            f"`launch/run preflight` installs it, or pip install -e '.[preflight]'"
        ) from error
    if len(found) != target.devices:
        raise UserError(f"the compiler shows {len(found)} devices of {target.name}")
    return list(found)


def _tpus(target: Target) -> Any:
    from jax.experimental import topologies

    name = "tpu7x" if target.chip.name == "v7x" else target.chip.name
    options: dict[str, Any] = {}
    if target.chips == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)
    if target.chip.name == "v4":
        options["chip_config_name"] = "megacore"  # two cores as one device, as jax has
    return topologies.get_topology_desc(
        topology_name=f"{name}:{target.topology}", platform="tpu", **options
    ).devices


def _cards(target: Target) -> Any:
    from jax.experimental import topologies

    import kernels

    about = (Path(kernels.__file__).parent / "lstm" / "h100.txtpb").read_text()
    return topologies.get_topology_desc(
        platform="cuda",
        topology_name="",
        target_config=about,
        topology=f"1x1x{target.chips}",
    ).devices
