"""keras.layers.LSTM: [kernel [I, 4H], recurrent_kernel [H, 4H], bias [4H]].

Its gates i, f, c, o are our i, f, g, o. Keras gives weights as a list without names;
that of a Bidirectional layer is the forward one's and then the backward one's. Layers
of a stack are apart.
"""

from collections.abc import Sequence

import numpy as np

from kernels.lstm.formats import Directions
from kernels.lstm.formats.layout import expect, numpy, ours, refuse
from kernels.lstm.spec import LstmWeights


def load(arrays: Sequence[np.ndarray]) -> Directions:
    """One layer, of what `get_weights()` of an LSTM or a Bidirectional gave.

    Raises:
      ValueError: another number of arrays, or shapes that are no LSTM's.
    """
    counts = {2: (2,), 3: (3,), 4: (2, 2), 6: (3, 3)}  # without and with a bias
    if len(arrays) not in counts:
        raise ValueError(
            f"{len(arrays)} arrays, but an LSTM has 3 (2 without a bias) and a "
            f"Bidirectional one twice as many"
        )
    size = counts[len(arrays)][0]
    given = [np.asarray(a) for a in arrays]
    return tuple(_direction(given[at : at + size]) for at in range(0, len(given), size))


def save(directions: Directions) -> list[np.ndarray]:
    """What `set_weights()` of such a layer, with a bias, takes."""
    arrays: list[np.ndarray] = []
    for weights in directions:
        refuse(weights, "Keras", "peephole", "projection")
        arrays += numpy(weights)
    return arrays


def _direction(arrays: list[np.ndarray]) -> LstmWeights:
    kernel, recurrent, *bias = arrays
    columns = kernel.shape[-1]
    expect("recurrent_kernel", recurrent, (columns // 4, columns))
    b = bias[0] if bias else np.zeros(columns, kernel.dtype)
    return ours(kernel, recurrent, expect("bias", b, (columns,)))
