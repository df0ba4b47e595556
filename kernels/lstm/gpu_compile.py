"""Compiles the GPU kernels for an H100 on a machine without one, by CUDA's compiler.

Needs the packages jax-cuda13-plugin and jax-cuda13-pjrt, without anything of NVIDIA's,
and JAX_PLATFORMS=cpu. What comes out cannot be run here; what it takes of a card can be
read off: registers, shared memory, and what was spilled for lack of registers.
`python -m kernels.lstm.gpu_compile` prints that table for the cases tagged "gpu".
"""

import importlib.util
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from kernels.lstm import gpu_sweeps, gpu_tiles
from kernels.lstm.backend import Core
from kernels.lstm.cases import Shape, tagged
from kernels.lstm.spec import LstmState, Masks
from kernels.lstm.tpu_compile import uncached

TARGET = Path(__file__).with_name("h100.txtpb")
WARPGROUP = 128  # threads
CONSTANT = r"(%\w+) = arith.constant (\d+) : i"


class Compiled(NamedTuple):
    """One kernel, compiled. Sizes in bytes, registers for each thread."""

    name: str
    registers: int
    spills: int  # stored and loaded
    shared: int  # of one block
    blocks: int
    counters: int  # that all blocks share, zero before a launch
    ptx: str

    @property
    def resident(self) -> int:
        """Blocks that one multiprocessor of an H100 holds, by these figures."""
        granted = -(-self.registers // 8) * 8 * WARPGROUP
        # 1 KiB of each block's shared memory is the system's.
        by_memory = 228 * 1024 // (self.shared + 1024)
        return min(65536 // granted, by_memory, 2048 // WARPGROUP)


def missing() -> str | None:
    """Why nothing can be compiled here, or None."""
    if importlib.util.find_spec("jax_cuda13_plugin") is None:
        return (
            "needs CUDA's compiler: pip install --no-deps jax-cuda13-plugin "
            "jax-cuda13-pjrt, of jax's own version"
        )
    try:
        device()
    except NotImplementedError:  # its driver was asked for first, and is not there
        return "needs JAX_PLATFORMS=cpu where there is no GPU"
    return None


def device() -> Any:
    """An H100 to compile for."""
    topology = topologies.get_topology_desc(
        platform="cuda",
        topology_name="",
        target_config=TARGET.read_text(),
        topology="1x1x1",
    )
    return topology.devices[0]


def forward(
    case: Shape,
    dtype: str,
    keep: str | None = "gates",
    **options: Any,
) -> Compiled:
    """The kernel of a forward sweep."""
    xp, core, _, _ = operands(case, dtype)

    def run(xp, core):
        return gpu_sweeps.forward(xp, core, case.reverse, keep, **options)

    return compiled(run, xp, core)


def backward(case: Shape, dtype: str, **options: Any) -> Compiled:
    """The kernel of a backward sweep."""
    gates, core, cells, dy = operands(case, dtype)

    def run(gates, cells, core, dy, dlast):
        return gpu_sweeps.backward(
            gates, cells, core, case.reverse, dy, dlast, **options
        )

    return compiled(run, gates, cells, core, dy, core.state)


@contextmanager
def tracing() -> Iterator[None]:
    """Inside, calls are traced for an H100; jax 0.11 wants to be told once more."""
    with ExitStack() as stack:
        stack.enter_context(gpu_tiles.compiling_for(gpu_tiles.H100))
        if jax.__version_info__ >= (0, 11):
            card = gpu_tiles.H100
            device = jax.sharding.AbstractDevice(card.name, card.processors, "cuda")
            mesh = jax.sharding.AbstractMesh((), (), abstract_device=device)
            stack.enter_context(jax.sharding.use_abstract_mesh(mesh))
        yield


def compiled(run: Callable, *arguments: Any) -> Compiled:
    """A function of arrays with one kernel of Mosaic's in it, of shapes on devices."""
    with dumped() as folder, tracing(), uncached():
        lowered = jax.jit(run).lower(*arguments)
        (kernel,) = set(re.findall(r'kernel_hash = "([^"]*)"', lowered.as_text()))
        text = str(lowered.compile().as_text())
        # A process compiles a kernel once, and tells of it then.
        if kernel not in _seen:
            _seen[kernel] = _read(folder)
    counters = re.findall(r"s32\[(\d+)\]\{0\}\}, output_to_operand_aliasing", text)
    return _seen[kernel]._replace(counters=sum(map(int, counters)))


_seen: dict[str, Compiled] = {}


@contextmanager
def dumped() -> Iterator[Path]:
    """Inside, Mosaic's compiler writes what it makes into a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = {"TO": folder, "PTX": "1", "PTXAS": "1"}
        wanted = {f"MOSAIC_GPU_DUMP_{name}": value for name, value in wanted.items()}
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield Path(folder)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update(
                    {name: value}
                )


def _read(folder: Path) -> Compiled:
    """The kernel that Mosaic's compiler told of."""
    report = next(folder.glob("*.ptxas"))
    text = report.read_text()
    sizes: dict[str, int] = {}
    line = ""
    # The dump begins with the launch as Pallas asked for it, before any pass.
    with report.with_suffix(".mlir-passes.log").open() as log:
        for line in log:
            if "gpu.launch" in line:
                break
            sizes |= {n: int(v) for n, v in re.findall(CONSTANT, line)}
    blocks = re.findall(r"blocks\(.*?\) in \((.*?)\)", line)[0]
    grid = (sizes[name] for name in re.findall(r"= (%\w+)", blocks))
    shared = sizes[re.findall(r"dynamic_shared_memory_size (%\w+)", line)[0]]
    registers = re.findall(r"Used (\d+) registers", text)
    spills = re.findall(r"(\d+) bytes spill", text)
    return Compiled(
        report.stem.rpartition("_")[0],
        int(registers[0]),
        sum(map(int, spills)),
        shared,
        math.prod(grid),
        0,
        report.with_suffix(".ptx").read_text(),
    )


def operands(case: Shape, dtype: str):
    """Shapes of xp (and of the gates), the core, the cells and y, on a device."""
    place = SingleDeviceSharding(device())
    time, batch, hidden = case.time, case.batch, case.hidden
    out = case.projected or hidden

    def array(*shape: int, of: str = dtype) -> Any:
        return jax.ShapeDtypeStruct(shape, jnp.dtype(of), sharding=place)

    core = Core(
        array(out, 4 * hidden),
        array(3, hidden, of="float32") if case.peephole else None,
        array(hidden, out) if case.projected else None,
        LstmState(array(batch, out), array(batch, hidden, of="float32")),
        array(batch, out) if case.h_mask else None,
        Masks(
            array(batch, of="int32") if case.lengths else None,
            array(time, batch, of="bool") if case.resets else None,
        ),
    )
    gates = array(time, batch, 4 * hidden)
    cells = array(time, batch, hidden, of="float32")
    return gates, core, cells, array(time, batch, out)


def rows() -> Iterator[tuple[Shape, str, str]]:
    """Case, dtype and direction of each kernel that the table holds."""
    for tag, dtype in (("gpu", "bfloat16"), ("gpu_float16", "float16")):
        for case in tagged(tag):
            yield case, dtype, "forward"
            yield case, dtype, "backward"


def figures(case: Shape, dtype: str, direction: str) -> tuple[Compiled, dict[str, int]]:
    """The kernel, and what the table says of it."""
    kernel = (forward if direction == "forward" else backward)(case, dtype)
    wanted = ("registers", "spills", "shared", "blocks")
    return kernel, {name: getattr(kernel, name) for name in wanted}


def main() -> None:
    table = {
        f"{case} {dtype} {direction}": figures(case, dtype, direction)[1]
        for case, dtype, direction in rows()
    }
    print(json.dumps({"jax": jax.__version__, "kernels": table}, indent=1))


if __name__ == "__main__":
    main()
