"""flax.linen's LSTMCell and OptimizedLSTMCell: eight kernels, named by gate.

    {"ii": {"kernel" [I, H]}, "if": …, "ig": …, "io": …,
     "hi": {"kernel" [H, H], "bias" [H]}, "hf": …, "hg": …, "ho": …}

These are the cell's own parameters, `params["OptimizedLSTMCell_0"]` inside a module.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kernels.lstm.formats.layout import OURS, expect, named, numpy, ours, refuse
from kernels.lstm.spec import LstmWeights


def load(parameters: Mapping[str, Any]) -> LstmWeights:
    """One layer from a cell's parameters.

    Raises:
      ValueError: a gate is missing or of another shape.
    """
    wx = [_kernel(parameters, "i" + gate) for gate in OURS]
    wh = [_kernel(parameters, "h" + gate) for gate in OURS]
    hidden = len(wh[0])
    for gate, x, h in zip(OURS, wx, wh, strict=True):
        expect(f"i{gate}.kernel", x, (len(wx[0]), hidden))
        expect(f"h{gate}.kernel", h, (hidden, hidden))
    b = [_bias(parameters["h" + gate], hidden, wh[0].dtype) for gate in OURS]
    return ours(np.concatenate(wx, 1), np.concatenate(wh, 1), np.concatenate(b))


def save(weights: LstmWeights) -> dict[str, dict[str, np.ndarray]]:
    """A cell's parameters."""
    refuse(weights, "flax", "peephole", "projection")
    wx, wh, b = numpy(weights)
    parts = [np.split(array, 4, axis=-1) for array in (wx, wh, b)]
    parameters = {}
    for gate, x, h, bias in zip(OURS, *parts, strict=True):
        parameters["i" + gate] = {"kernel": x}
        parameters["h" + gate] = {"kernel": h, "bias": bias}
    return parameters


def _kernel(parameters: Mapping[str, Any], name: str) -> np.ndarray:
    if name not in parameters:
        raise ValueError(f"no {name!r} among the weights {', '.join(parameters)}")
    return named(parameters[name], "kernel")


def _bias(half: Mapping[str, Any], hidden: int, dtype: Any) -> np.ndarray:
    if "bias" not in half:
        return np.zeros(hidden, dtype)
    return expect("bias", named(half, "bias"), (hidden,))
