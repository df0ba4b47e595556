"""The 8×8 digits that ship in the scikit-learn package: no network, no download.

1,797 digits of 43 people, 17 levels of grey (Alpaydin and Kaynak, "Optical recognition
of handwritten digits", 1998; its test set). Read without importing scikit-learn.
"""

import functools
import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from research.errors import UserError

LEVELS = 16  # the brightest; 0 is paper
# Of each class, so that all are equally likely; there are 174 to 183. What is over is
# left out.
TRAIN, HELD_OUT = 144, 30
# SHA-256 of all 1,797 × 64 levels in the order of the file (scikit-learn 1.9.1).
CONTENT = "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"


@functools.cache
def splits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images uint8 [digits, 8, 8, 1] from 0 to 255 and labels int32, by split.

    In each class the HELD_OUT digits with the lowest SHA-256 are held out, and the next
    TRAIN are to train: so the split depends on the pictures alone.

    Raises:
      UserError: scikit-learn is missing, or carries other digits.
    """
    levels, labels = _read()
    images = np.round(levels * (255 / LEVELS)).astype(np.uint8).reshape(-1, 8, 8, 1)
    keys = [hashlib.sha256(image.tobytes()).digest() for image in images]
    rows: dict[str, list[int]] = {"train": [], "test": []}
    for digit in range(10):
        own = sorted(
            np.flatnonzero(labels == digit).tolist(), key=lambda row: keys[row]
        )
        rows["test"] += own[:HELD_OUT]
        rows["train"] += own[HELD_OUT : HELD_OUT + TRAIN]
    return {
        name: (images[sorted(chosen)], labels[sorted(chosen)].astype(np.int32))
        for name, chosen in rows.items()
    }


def _read() -> tuple[np.ndarray, np.ndarray]:
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise UserError("8×8 digits come with scikit-learn: pip install scikit-learn")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
        levels = np.ascontiguousarray(table[:, :-1])
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise UserError(_damaged(file)) from error
    if hashlib.sha256(levels.data).hexdigest() != CONTENT:
        raise UserError(_damaged(file))
    return levels, table[:, -1]


def _damaged(file: Path) -> str:
    return (
        f"{str(file)!r} does not hold scikit-learn's 1,797 digits; "
        "pip install --force-reinstall scikit-learn"
    )
