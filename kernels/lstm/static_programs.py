"""The programs whose cycles static_cycles.py asks for, and how they are read off.

Runs in a process of its own, which was told to dump what the compiler knows:
`python -m kernels.lstm.static_programs RECIPE FOLDER '["forward", "v5e", 64, 512,
"bfloat16"]'` prints cycles a step. Every program begins with x·wx done.
"""

import ctypes
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from kernels.lstm import (
    gradients,
    pallas_tpu,
    steps,
    tpu_compile,
    tpu_grid,
    tpu_tiles,
)
from kernels.lstm.backend import Core
from kernels.lstm.cases import Shape
from kernels.lstm.static_cycles import Program

PR_SET_PDEATHSIG = 1  # linux/prctl.h; the compiler is for Linux alone


class Operands(NamedTuple):
    """Shapes on a device, for one call."""

    xp: Any  # [time, batch, 4·hidden]; the gates, too
    core: Core
    cells: Any  # [time, batch, hidden], float32
    dy: Any  # [time, batch, hidden]; y, too


def forward(a: Operands):
    """The kernel as it runs where nothing is differentiated."""
    return pallas_tpu.forward(a.xp, a.core, False, None)


def forward_kept(a: Operands):
    """The kernel that keeps gates and cells for the way back."""
    return pallas_tpu.forward(a.xp, a.core, False, "gates")


def backward(a: Operands):
    """The kernel back, as far as the gradient of xp."""
    return pallas_tpu.backward(a.xp, a.cells, a.core, False, a.dy, a.core.state)


def weight_gradient(a: Operands):
    """The gradient of wh from all steps at once."""
    h = steps.entering(a.dy, a.core.state.h, None, None, False)
    return gradients.weight_gradients(h[..., :1], h, a.xp)[1]


def scan(a: Operands):
    """What one writes without a kernel: the equations of spec.py under lax.scan.

    Its product has the default precision, which is exact for bfloat16 operands alone.
    """
    return _scan(a.xp, a.core.wh, a.core.state)


def scan_gradient(a: Operands):
    """The same, and jax's derivative of it for xp, wh and the initial state."""
    (y, last), pull = jax.vjp(_scan, a.xp, a.core.wh, a.core.state)
    return y, last, pull((a.dy, jax.tree.map(jnp.zeros_like, last)))


PROGRAMS: dict[str, Callable] = {
    run.__name__: run
    for run in (forward, forward_kept, backward, weight_gradient, scan, scan_gradient)
}


def _scan(xp: jax.Array, wh: jax.Array, state: Any):
    def step(before, xp):
        h, c = before
        z = xp + jnp.dot(h, wh, preferred_element_type=c.dtype)
        i, f, g, o = jnp.split(z, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = (jax.nn.sigmoid(o) * jnp.tanh(c)).astype(h.dtype)
        return (h, c), h

    last, y = lax.scan(step, tuple(state), xp)
    return y, last


def cycles(program: Program, recipe: str, folder: Path) -> float:
    """Cycles a step; the compiler was told to write into the folder."""
    if recipe == "bundles":
        compiled(program, times(program)[0])
        return _bundles(folder) / _block(program)

    def total(time: int) -> int:
        for file in folder.iterdir():
            file.unlink()
        return _total(folder, compiled(program, time), time)

    few, many = times(program)
    before = total(few) if few else 0
    return (total(many) - before) / (many - few)


def times(program: Program) -> tuple[int, int]:
    """Steps of two compilations: their difference is what steps cost.

    More for a tile of twenty steps, so that both have several. The GEMM of all steps is
    compiled once, of 4,096 rows: XLA cuts each length another way, and a difference can
    be less than the matrix units need (v5e, B 64, H 512: 814 cycles a step of 1,024).
    """
    if program.name == "weight_gradient":
        return 0, max(4096 // program.batch, 1)
    return (40, 80) if program.batch > tpu_tiles.FEW else (16, 32)


def compiled(program: Program, time: int) -> str:
    """A program for so many steps, as the compiler left it."""
    operands = _operands(program, time)
    run = jax.jit(lambda operands: PROGRAMS[program.name](operands))
    with tpu_tiles.compiling_for(program.generation), tpu_compile.uncached():
        return str(run.lower(operands).compile().as_text())


def _operands(program: Program, time: int) -> Operands:
    shape = Shape(program.name, time, program.batch, 1, program.hidden)
    return Operands(*tpu_compile.operands(shape, program.dtype, program.generation))


def _total(folder: Path, text: str, time: int) -> int:
    """Cycles of all operations; those inside of a loop run once for each step."""
    inside = set()
    for body in re.findall(r"while\(.*body=%?([\w.-]+)", text):
        start = text.index(f"\n%{body} (")
        block = text[start : text.index("\n}", start)]
        inside |= set(re.findall(r"%([\w.-]+) = ", block))
    total = 0
    for file in folder.glob("*static_llo_profile.textproto"):
        found = r'hlo_op_name: "([^"]+)"\s+estimated_cycles: (\d+)'
        for name, estimate in re.findall(found, file.read_text()):
            total += int(estimate) * (time if name in inside else 1)
    if not total:
        raise RuntimeError(f"the compiler wrote no profile into {folder}")
    return total


def _bundles(folder: Path) -> int:
    """Instruction words of the kernel: those of one iteration of its grid."""
    (file,) = folder.glob("*_lstm*schedule-analysis_final_bundles.txt")
    return int(re.findall(r"total scheduled bundles: +(\d+)", file.read_text())[0])


def _block(program: Program) -> int:
    """Steps of one iteration."""
    time, _ = times(program)
    operands = _operands(program, time)
    keep = "gates" if program.name == "forward_kept" else None
    back = program.name == "backward"
    size = (time, program.batch)
    with tpu_tiles.compiling_for(program.generation):
        grid = tpu_grid.grid_of(operands.core, size, keep, back, back, False)
    assert grid is not None
    return grid.walk.block


def _take_half_of_the_memory() -> None:
    """Beyond it a compilation ends in an error, and not the machine in swapping."""
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    resource.setrlimit(resource.RLIMIT_DATA, (half, half))


def _end_with_parent() -> None:
    """A compiler that nobody waits for any more would go on for a minute."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _end_with_parent()
    _take_half_of_the_memory()
    recipe, folder, program = sys.argv[1:]
    print(cycles(Program(*json.loads(program)), recipe, Path(folder)))
