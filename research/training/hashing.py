"""One hash for a whole training state."""

import hashlib
from typing import Any

import jax
import numpy as np


def by_name(tree: Any) -> dict[str, Any]:
    """Leaves by their path, in tree order: "params/Dense_0/kernel", "optimizer/0/mu".

    The same for a named tuple, a dict or a list of the same names and numbers.
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in leaves
    }


def state_hash(state: Any) -> str:
    """SHA-256 over the path, dtype, shape and bytes of each leaf, by path.

    Equal hashes mean equal bits: networks, optimizers, statistics, averages and step.
    """
    digest = hashlib.sha256()
    for name, leaf in sorted(by_name(state).items()):
        array = np.asarray(leaf)
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
