"""Gate columns in another order, and checks with the name of what is wrong."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kernels.lstm.spec import LstmWeights

Array = np.ndarray
OURS = "ifgo"


def reorder(array: np.ndarray, given: str, wanted: str) -> np.ndarray:
    """The last axis, four gates in the order `given`, in the order `wanted`."""
    gates = np.split(array, 4, axis=-1)
    return np.concatenate([gates[given.index(gate)] for gate in wanted], axis=-1)


def named(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """The array of that name.

    Raises:
      ValueError: there is none.
    """
    if name not in arrays:
        raise ValueError(f"no {name!r} among the weights {', '.join(arrays)}")
    return np.asarray(arrays[name])


def expect(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array, if it has that shape.

    Raises:
      ValueError: it has another.
    """
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, but must be {shape}")
    return array


def ours(wx: Array, wh: Array, b: Array, projection: Array | None = None):
    """LstmWeights of numpy arrays; their type says jax's, and `lstm` takes both."""
    given: Any = (wx, wh, b, None, projection)
    return LstmWeights(*given)


def numpy(weights: LstmWeights) -> tuple[Array, Array, Array]:
    """wx, wh and b as numpy arrays."""
    return np.asarray(weights.wx), np.asarray(weights.wh), np.asarray(weights.b)


def refuse(weights: LstmWeights, library: str, *absent: str) -> None:
    """Raises ValueError for weights that a library's layer has no place for."""
    for name in absent:
        if getattr(weights, name) is not None:
            raise ValueError(f"{library} has no LSTM with a {name}: it would be lost")
