"""torch.nn.LSTM: weight_ih_l0 [4H, I], weight_hh_l0 [4H, P], two biases, gates i f g o.

A layer's backward direction has the suffix `_reverse`; with `proj_size` there is
weight_hr_l0 [P, H]. Both biases are added, so only their sum can be kept: from torch
and back it comes as bias_ih beside a bias_hh of zeros, which is the same layer, though
weight decay and Adam's moments would see another.
"""

from collections.abc import Mapping

import numpy as np

from kernels.lstm.formats import Stack
from kernels.lstm.formats.layout import expect, named, numpy, ours, refuse
from kernels.lstm.spec import LstmWeights


def load(arrays: Mapping[str, np.ndarray]) -> Stack:
    """The layers of a state_dict as numpy arrays; without biases they are zeros.

    Raises:
      ValueError: a weight is missing, has another shape or is no LSTM's.
    """
    known, stack = set(), []
    ways = ("", "_reverse") if "weight_ih_l0_reverse" in arrays else ("",)
    while f"weight_ih_l{len(stack)}" in arrays or not stack:
        ends = [f"_l{len(stack)}{way}" for way in ways]
        stack.append(tuple(_direction(arrays, end) for end in ends))
        kinds = ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh")
        known |= {kind + end for kind in kinds for end in ends}
    if set(arrays) - known:
        odd = sorted(set(arrays) - known)[0]
        raise ValueError(f"{odd!r} is not a weight of a torch.nn.LSTM like this")
    return tuple(stack)


def save(stack: Stack) -> dict[str, np.ndarray]:
    """A state_dict of arrays for torch.nn.LSTM(..., bias=True)."""
    arrays = {}
    for layer, directions in enumerate(stack):
        for weights, way in zip(directions, ("", "_reverse"), strict=False):
            refuse(weights, "torch", "peephole")
            (wx, wh, b), end = numpy(weights), f"_l{layer}{way}"
            arrays["weight_ih" + end] = wx.T
            arrays["weight_hh" + end] = wh.T
            arrays["bias_ih" + end] = b
            arrays["bias_hh" + end] = np.zeros_like(b)
            if weights.projection is not None:
                arrays["weight_hr" + end] = np.asarray(weights.projection).T
    return arrays


def _direction(arrays: Mapping[str, np.ndarray], end: str) -> LstmWeights:
    wx, wh = named(arrays, "weight_ih" + end), named(arrays, "weight_hh" + end)
    columns = len(wh)
    expect("weight_ih" + end, wx, (columns, wx.shape[-1]))
    b = np.zeros(columns, wx.dtype)
    if "bias_ih" + end in arrays:
        halves = [named(arrays, name + end) for name in ("bias_ih", "bias_hh")]
        b = expect("bias_ih" + end, halves[0], (columns,))
        b = b + expect("bias_hh" + end, halves[1], (columns,))
    projection = None
    if "weight_hr" + end in arrays:
        shape = (wh.shape[1], columns // 4)
        projection = expect("weight_hr" + end, named(arrays, "weight_hr" + end), shape)
        projection = projection.T
    return ours(wx.T, wh.T, b, projection)
