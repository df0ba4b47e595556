"""One hash for a whole training state."""

import hashlib
from typing import Any

import jax
import numpy as np


def state_hash(state: Any) -> str:
    """SHA-256 over the path, dtype, shape and bytes of each leaf, in tree order.

    Equal hashes mean equal bits: networks, optimizers, statistics, averages and step.
    """
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        array = np.ascontiguousarray(leaf)
        name = jax.tree_util.keystr(path)
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
