"""cuDNN's flat blob, as jax.experimental.rnn and torch's flattened weights have it.

One vector: for each layer, and in it for each direction, W_ih [4H, I] and W_hh [4H, H]
row by row; after all of these, in the same order, b_ih [4H] and b_hh [4H]. Gates are
i, f, g, o. Nothing in it tells its sizes. Only the sum of the two biases can be kept:
it comes back as b_ih beside zeros.
"""

import numpy as np

from kernels.lstm.formats import Stack
from kernels.lstm.formats.layout import numpy, ours, refuse


def load(
    blob: np.ndarray,
    features: int,
    hidden: int,
    layers: int = 1,
    bidirectional: bool = False,
) -> Stack:
    """The layers of a blob of these sizes.

    Raises:
      ValueError: it has another number of entries.
    """
    ways = 2 if bidirectional else 1
    widths = [features] + [ways * hidden] * (layers - 1)
    per_way = [4 * hidden * (width + hidden) for width in widths]
    biases = layers * ways * 8 * hidden
    size = ways * sum(per_way) + biases
    blob = np.asarray(blob)
    if blob.shape != (size,):
        raise ValueError(
            f"the blob has shape {blob.shape}, but {layers} layers of {hidden} in "
            f"{ways} direction(s) over {features} features ask for ({size},)"
        )
    at, b = 0, blob[size - biases :].reshape(layers, ways, 2, 4 * hidden).sum(2)
    stack = []
    for layer, width in enumerate(widths):
        directions = []
        for way in range(ways):
            wx = blob[at : at + 4 * hidden * width].reshape(4 * hidden, width)
            at += wx.size
            wh = blob[at : at + 4 * hidden * hidden].reshape(4 * hidden, hidden)
            at += wh.size
            directions.append(ours(wx.T, wh.T, b[layer, way]))
        stack.append(tuple(directions))
    return tuple(stack)


def save(stack: Stack) -> np.ndarray:
    """The blob of a stack, in the dtype of its weights."""
    matrices, biases = [], []
    for weights in (weights for directions in stack for weights in directions):
        refuse(weights, "the blob", "peephole", "projection")
        wx, wh, b = numpy(weights)
        matrices += [wx.T.ravel(), wh.T.ravel()]
        biases += [b, np.zeros_like(b)]
    return np.concatenate(matrices + biases)
