"""What a data set gives out: the arrays of one split, decoded once, and their name."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from research.errors import UserError

NAMES = ("train", "test")  # "test" is held out


class Split(NamedTuple):
    """One split of a data set, small enough to live on the device."""

    arrays: dict[str, np.ndarray]  # any names, see research.data
    examples: int  # in one epoch
    fingerprint: str  # SHA-256 of what a batch is made from; checkpoints hold it


def refuse_unknown(name: object, split: str) -> None:
    """Raises UserError for a split that no data set has; `name` is the set's."""
    if split not in NAMES:
        raise UserError(f"{name} has no split {split!r}: 'train' or 'test'")


def fingerprint(arrays: Mapping[str, np.ndarray], *also: object) -> str:
    """SHA-256 over the arrays' names, types, shapes and bytes, and over `also`."""
    digest = hashlib.sha256(repr(also).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.data)
    return digest.hexdigest()
