"""The GPU kernels of gpu_sweeps.py in Mosaic GPU's interpreter: anywhere, and slowly.

`lstm(..., backend="kernels.lstm.interpreted_gpu")`, for tests. It simulates shared
memory, the copies into it and their barriers, and finds races between them. It knows no
barrier between blocks: one block has all cells. Never chosen unless named.
"""

import functools

from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

from kernels.lstm import gpu_sweeps, pallas_gpu
from kernels.lstm.backend import Backend
from kernels.lstm.spec import Case

PARAMETERS = InterpretGPUParams(detect_races=True)


def supports(case: Case) -> str | None:
    """Whatever some card can."""
    return pallas_gpu.unfit(case)


BACKEND = Backend(
    supports,
    functools.partial(gpu_sweeps.forward, interpret=PARAMETERS),
    functools.partial(gpu_sweeps.backward, interpret=PARAMETERS),
    pallas_gpu.BACKEND.residuals,
)
