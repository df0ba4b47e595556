"""The TPU kernels of pallas_cell.py in Pallas's interpreter; see interpreted.py."""

import functools

from kernels.lstm import interpreted, pallas_cell
from kernels.lstm.backend import Backend

BACKEND = Backend(
    interpreted.supports,
    functools.partial(pallas_cell.forward, interpret=True),
    functools.partial(pallas_cell.backward, interpret=True),
    pallas_cell.BACKEND.residuals,
)
