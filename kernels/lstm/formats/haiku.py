"""haiku.LSTM: {"linear": {"w": [I + H, 4H], "b": [4H]}}, gates i, g, f, o.

x and h lie under each other in w. Haiku adds 1 to the forget gate's sum when it is
used and keeps b without it, so that 1 is added here and taken away again: float32
rounds a forget bias at 6e-8 in doing so, unless it is a multiple of 2⁻²³.
"""

from collections.abc import Mapping
from typing import Any

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


def load(parameters: Mapping[str, Any]) -> LstmWeights:
    """One layer from `params["lstm/linear"]`: its w and b.

    Raises:
      ValueError: one is missing, or shapes are no LSTM's.
    """
    w, b = named(parameters, "w"), named(parameters, "b")
    columns = w.shape[-1]
    expect("b", b, (columns,))
    features = len(w) - columns // 4
    if w.ndim != 2 or columns % 4 or features < 1:
        raise ValueError(f"w has shape {w.shape}, but must be [I + H, 4·H]")
    w, b = reorder(w, GATES, OURS), reorder(b, GATES, OURS)
    return ours(w[:features], w[features:], _forget(b, 1))


def save(weights: LstmWeights) -> dict[str, np.ndarray]:
    """The parameters of the layer's Linear."""
    refuse(weights, "haiku", "peephole", "projection")
    wx, wh, b = numpy(weights)
    w = reorder(np.concatenate([wx, wh]), OURS, GATES)
    return {"w": w, "b": reorder(_forget(b, -1), OURS, GATES)}


def _forget(b: np.ndarray, change: int) -> np.ndarray:
    """b with something added to the forget gate's quarter, the second of ours."""
    hidden = len(b) // 4
    b = b.copy()
    b[hidden : 2 * hidden] += change
    return b
