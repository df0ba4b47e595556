"""Compiles the TPU kernels on a machine without a TPU, by the compiler of real ones.

Needs libtpu (`pip install -e '.[preflight]'`) and JAX_PLATFORMS=cpu: with the driver
there, jax would otherwise look for a TPU. What comes out cannot be run here; what it
takes of a TPU can be read off.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import SingleDeviceSharding

from kernels.lstm import pallas_tpu, tpu_tiles
from kernels.lstm.backend import Backend, Core
from kernels.lstm.cases import Shape
from kernels.lstm.spec import LstmState, Masks

ENVIRONMENT = {  # what libtpu has to be told before it is loaded
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # or a second process is refused
    "TPU_SKIP_MDS_QUERY": "1",  # or it waits for a cloud's metadata server
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}


class Compiled(NamedTuple):
    """One kernel, compiled."""

    text: str  # the whole program, as the compiler left it
    used: int  # bytes of VMEM that the kernel takes
    limit: int  # bytes that it was allowed


def devices(generation: str, topology: str | None = None) -> list[Any]:
    """Devices to compile for: those of the smallest slice if no topology is named."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    name = topology or tpu_tiles.GENERATIONS[generation].topology
    return topologies.get_topology_desc(topology_name=name, platform="tpu").devices


def forward(
    case: Shape,
    dtype: str,
    generation: str,
    keep: str | None = "gates",
    backend: Backend = pallas_tpu.BACKEND,
):
    """The forward kernel, compiled."""
    xp, core, _, _ = operands(case, dtype, generation)
    sweep = backend.forward
    assert sweep is not None

    def run(xp, core):
        return sweep(xp, core, case.reverse, keep)

    return compiled(run, generation, xp, core)


def backward(
    case: Shape,
    dtype: str,
    generation: str,
    backend: Backend = pallas_tpu.BACKEND,
):
    """The backward kernel, compiled."""
    gates, core, cells, dy = operands(case, dtype, generation)
    sweep = backend.backward
    assert sweep is not None

    def run(gates, cells, core, dy, dlast):
        return sweep(gates, cells, core, case.reverse, dy, dlast)

    return compiled(run, generation, gates, cells, core, dy, core.state)


def compiled(run: Callable, generation: str, *arguments: Any) -> Compiled:
    """A function of arrays with one kernel in it; `arguments` are shapes on devices."""
    # Arrays stay outside of VMEM: what XLA puts there beforehand, the kernel does not
    # take, and its figure would be that of a smaller one.
    jitted = jax.jit(run, compiler_options={"xla_msa_enable": False})
    with tpu_tiles.compiling_for(generation), uncached():
        text = str(jitted.lower(*arguments).compile().as_text())
    call = next(line for line in text.splitlines() if "tpu_custom_call" in line)
    used = _size("used_scoped_memory_configs", call)
    return Compiled(text, used, _size("scoped_memory_configs", call))


def _size(name: str, call: str) -> int:
    """Bytes of VMEM that an operation of a program says under a name."""
    found = re.search(rf'"{name}":\[\{{[^}}]*"size":"(\d+)"', call)
    assert found is not None, f"no {name} in {call}"
    return int(found[1])


@contextmanager
def uncached() -> Iterator[None]:
    """jax's cache of compiled programs can write those of absent TPUs, but not read."""
    before = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def operands(case: Shape, dtype: str, generation: str):
    """Shapes of xp (and of the gates), the core, the cells and y, on a device."""
    place = SingleDeviceSharding(devices(generation)[0])
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
