"""Chorales: Bach's 365 in four parts, a frame of 88 keys at every quarter note.

They ship in the package music21 (BSD; the encodings are its own, in the public domain
or by permission). A fifth is held out, by content: pieces that are the same but for
their key stay on one side. It is not the set called JSB, whose pieces, split and keys
differ: compare no number with one published on that. Bach set some tunes more than
once, and other settings of a held-out tune may be trained on. No download.
"""

import functools
import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from research.errors import UserError
from research.experiment import Data
from research.sources import musicxml
from research.sources.piano_rolls import PianoRolls, roll

TAKES = ("length",)

PARTS = 4
HELD_OUT = 0.2  # share of the pieces that differ in more than their key
# SHA-256 of the frames of all pieces in the order of their file names (music21 10.5.1).
CONTENT = "c7caf444b273f6cc04011cf8ebfb46ceb4ad0b18d5333fd3b549589f479feef4"


def configured(data: Data, batch_size: int) -> PianoRolls:
    """Whole chorales, or windows of `data.length` quarter notes."""
    del batch_size
    about = (__doc__ or "").splitlines()[0]
    return PianoRolls("chorales", splits, data.length, about)


@functools.cache
def splits() -> dict[str, list[np.ndarray]]:
    """The pieces of "train" and "test", each bool [quarter notes, 88]."""
    pieces = read()
    kinds = [without_key(piece) for piece in pieces]
    distinct = sorted(set(kinds))
    held_out = set(distinct[: round(HELD_OUT * len(distinct))])
    found: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for piece, kind in zip(pieces, kinds, strict=True):
        found["test" if kind in held_out else "train"].append(piece)
    return found


def without_key(piece: np.ndarray) -> str:
    """SHA-256 of a piece moved so that its lowest note is the first key."""
    lowest = int(piece.any(0).argmax())
    moved = np.roll(piece, -lowest, axis=1)
    return hashlib.sha256(np.packbits(moved, axis=1).tobytes()).hexdigest()


def read() -> list[np.ndarray]:
    """All chorales in four parts, each bool [quarter notes, 88].

    Raises:
      UserError: music21 is missing, or carries other music.
    """
    # Found, not imported: importing music21 takes seconds and its own parser a quarter
    # of an hour for these files.
    package = importlib.util.find_spec("music21")
    if package is None or package.origin is None:
        raise UserError("chorales come from the package music21: pip install music21")
    folder = Path(package.origin).parent / "corpus" / "bach"
    files = sorted(f for f in folder.glob("*") if f.suffix in (".mxl", ".xml"))
    try:
        scores = [musicxml.read(file.read_bytes()) for file in files]
    except (OSError, ValueError) as error:
        raise UserError(_damaged(folder)) from error
    pieces = [
        roll(note for part in parts for note in part)
        for parts in scores
        if len(parts) == PARTS
    ]
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(np.packbits(piece, axis=1).tobytes())
    if digest.hexdigest() != CONTENT:
        raise UserError(_damaged(folder))
    return pieces


def _damaged(folder: Path) -> str:
    return (
        f"{str(folder)!r} does not hold the chorales of music21 10.5.1; "
        "pip install --force-reinstall 'music21==10.5.1'"
    )
