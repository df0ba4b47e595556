"""haste.LSTM: kernel [I, 4H], recurrent_kernel [H, 4H], bias [4H], gates i, g, f, o.

Its PyTorch layer names them so in its state_dict; the TensorFlow one has the same
arrays. Batch-major or not, the weights are the same.
"""

from collections.abc import Mapping

import numpy as np

from kernels.lstm.formats.layout import (
    OURS,
    expect,
    named,
    numpy,
    ours,
    refuse,
    reorder,
)
from kernels.lstm.spec import LstmWeights

GATES = "igfo"


def load(arrays: Mapping[str, np.ndarray]) -> LstmWeights:
    """One layer, one direction.

    Raises:
      ValueError: a weight is missing or of another shape.
    """
    wx = named(arrays, "kernel")
    columns = wx.shape[-1]
    wh = expect(
        "recurrent_kernel",
        named(arrays, "recurrent_kernel"),
        (columns // 4, columns),
    )
    b = expect("bias", named(arrays, "bias"), (columns,))
    return ours(
        reorder(wx, GATES, OURS), reorder(wh, GATES, OURS), reorder(b, GATES, OURS)
    )


def save(weights: LstmWeights) -> dict[str, np.ndarray]:
    """The layer's state_dict, as arrays."""
    refuse(weights, "haste", "peephole", "projection")
    names = ("kernel", "recurrent_kernel", "bias")
    return {
        n: reorder(a, OURS, GATES) for n, a in zip(names, numpy(weights), strict=True)
    }
