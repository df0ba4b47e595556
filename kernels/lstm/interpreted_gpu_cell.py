"""The GPU kernels of pallas_gpu_cell.py in Pallas's interpreter; see interpreted.py."""

import functools

from kernels.lstm import interpreted, pallas_gpu_cell
from kernels.lstm.backend import Backend

BACKEND = Backend(
    interpreted.supports,
    functools.partial(pallas_gpu_cell.forward, interpret=True),
    functools.partial(pallas_gpu_cell.backward, interpret=True),
    pallas_gpu_cell.BACKEND.residuals,
)
