"""The TPU kernels of pallas_tpu.py in Pallas's interpreter: on any device, and slowly.

`lstm(..., backend="kernels.lstm.interpreted")`, for tests and to look into a kernel. It
takes every dtype. Never chosen unless named.
"""

import functools

from kernels.lstm import pallas_tpu, tpu_tiles
from kernels.lstm.backend import Backend
from kernels.lstm.spec import Case


def supports(case: Case) -> str | None:
    """Whatever a TPU can, and every dtype."""
    with tpu_tiles.compiling_for("v5e"):
        return pallas_tpu.supports(case._replace(dtype="float32"))


BACKEND = Backend(
    supports,
    functools.partial(pallas_tpu.forward, interpret=True),
    functools.partial(pallas_tpu.backward, interpret=True),
    pallas_tpu.BACKEND.residuals,
)
