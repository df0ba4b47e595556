"""Compiles the GPU's fused cell, which is Triton's, for an H100; see gpu_compile.py."""

import math
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax

from kernels.lstm import pallas_gpu_cell
from kernels.lstm.cases import Shape
from kernels.lstm.gpu_compile import operands, tracing
from kernels.lstm.tpu_compile import uncached


class Cell(NamedTuple):
    """A kernel of Triton's, compiled; registers and spills where `ptxas` is on PATH."""

    shared: int  # bytes of one block
    blocks: int
    ptx: str
    registers: int | None
    spills: int | None


def cell(case: Shape, dtype: str, direction: str) -> Cell:
    """The fused cell's kernel, with the loop around it."""
    gates, core, cells, dy = operands(case, dtype)

    def forward(xp, core):
        return pallas_gpu_cell.forward(xp, core, case.reverse, "gates")

    def backward(gates, cells, core, dy, dlast):
        back = pallas_gpu_cell.backward
        return back(gates, cells, core, case.reverse, dy, dlast)

    if direction == "forward":
        run, arguments = forward, (gates, core)
    else:
        run, arguments = backward, (gates, cells, core, dy, core.state)
    with tempfile.TemporaryDirectory() as folder, tracing(), uncached():
        lowered = jax.jit(run).lower(*arguments)
        # jax 0.11 writes no PTX that it is not asked for.
        lowered.compile(
            compiler_options={"xla_dump_to": folder, "xla_dump_emitter_re": "ptx"}
        )
        return _read_cell(Path(folder))


def _read_cell(folder: Path) -> Cell:
    told = "".join(f.read_text() for f in folder.glob("*thunk_sequence*"))
    (launch,) = set(
        re.findall(r"lstm_cell_\w+ grid: \[(.*?)\].*?shared_memory: (\d+)", told)
    )
    (ptx,) = (f for f in folder.glob("*.ptx") if "lstm_cell" in f.read_text())
    blocks = math.prod(int(n) for n in launch[0].split(","))
    return Cell(int(launch[1]), blocks, ptx.read_text(), *_assembled(ptx))


def _assembled(ptx: Path) -> tuple[int | None, int | None]:
    """Registers and bytes spilled of the cell's kernel in a file."""
    if shutil.which("ptxas") is None:
        return None, None
    command = ["ptxas", "-v", "-arch=sm_90a", str(ptx), "-o", os.devnull]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    cell = told[told.index("'lstm_cell") :]
    spills = re.findall(r"(\d+) bytes spill", cell)[:2]
    return int(re.findall(r"Used (\d+) reg", cell)[0]), sum(map(int, spills))
