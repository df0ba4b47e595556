"""Music of the user's own: the files of Boulanger-Lewandowski 2012, or MIDI files.

JSB Chorales, Nottingham, MuseData and Piano-midi are passed around as one file of three
splits, each a list of pieces:

  .mat     traindata, validdata, testdata: cells of rolls [steps, 88]
  .json    train, valid, test: pieces of steps of MIDI numbers, −1 for a silent voice,
           or of 88 zeros and ones
  .pickle  the same as .json, or NumPy arrays of it; any other class is refused unread

What is held out is "test", or "valid" where settings are being chosen. A folder of .mid
files is split by content, and has no "valid".
"""

import hashlib
import io
import json
import math
import pickle
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from research.errors import UserError
from research.sources import midi
from research.sources.piano_rolls import KEYS, LONGEST, LOWEST
from research.sources.users import expanded, read_bytes

HELD_OUT = 0.2  # share of a folder's pieces
NAMES = {".mat": "{}data"}  # of a split in such a file; in others as it is called
KINDS = (".mat", ".json", ".pickle", ".pkl")


def read(path: Path, held_out: str = "test") -> dict[str, list[np.ndarray]]:
    """The pieces of "train", and those held out as "test", each bool [steps, 88].

    Args:
      path: a file, or a folder of MIDI files.
      held_out: the split of the file that is taken for "test".

    Raises:
      UserError: nothing there, or not of the layouts above; the line says what is.
    """
    path = expanded(path)
    if path.is_dir():
        if held_out != "test":
            raise UserError(
                f"--data.held-out {held_out}: the folder {path} is split into train "
                f"and test alone; leave it out, or name a file that has {held_out}"
            )
        return _folder(path)
    if path.suffix not in KINDS:
        what = "is of another kind" if path.exists() else "is not there"
        raise UserError(
            f"--data.path {path} {what}: name a .mat, .json or .pickle file of piano "
            f"rolls, or a folder of .mid files"
        )
    content = read_bytes(path)
    try:
        splits = _READERS[path.suffix](content)
    except Exception as error:  # scipy's, json's and pickle's: each has its own
        text = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"--data.path {path} cannot be read ({text})") from error
    name = NAMES.get(path.suffix, "{}").format
    return {
        "train": _split(path, splits, name("train")),
        "test": _split(path, splits, name(held_out)),
    }


def _split(path: Path, splits: Any, name: str) -> list[np.ndarray]:
    if not isinstance(splits, dict) or name not in splits:
        names = ", ".join(splits) if isinstance(splits, dict) else "no names"
        raise UserError(
            f"--data.path {path} has no {name!r} (it holds {names}): JSB Chorales and "
            f"Nottingham have it"
        )
    pieces = splits[name]
    if not isinstance(pieces, list | tuple | np.ndarray):
        raise UserError(f"--data.path {path}: its {name!r} holds no list of pieces")
    pieces = list(np.ravel(pieces) if path.suffix == ".mat" else pieces)
    if not pieces:
        raise UserError(f"--data.path {path}: its {name!r} holds no piece")
    return [
        _piece(piece, f"--data.path {path}: piece {number} of {name!r}")
        for number, piece in enumerate(pieces)
    ]


def _piece(piece: Any, what: str) -> np.ndarray:
    """A roll from a roll, or from the MIDI numbers of its steps."""
    try:
        piece = _as_array(piece)
        found = _roll(piece) if _is_roll(piece) else _from_numbers(piece)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        text = str(error).partition("\n")[0]
        raise UserError(
            f"{what} is no piano roll ({text}): give [steps, {KEYS}] of 0 and 1, or "
            f"the MIDI numbers of each step"
        ) from error
    if not 2 <= len(found) <= LONGEST:
        raise UserError(
            f"{what} has {len(found):,} steps: 2 to {LONGEST:,} can be read; cut it"
        )
    return found


def _as_array(piece: Any) -> Any:
    """Lists of 88 are the steps of a roll: nobody plays 88 keys at once."""
    rows = not isinstance(piece, np.ndarray) and all(len(s) == KEYS for s in piece)
    return np.array(piece) if rows and len(piece) else piece


def _is_roll(piece: Any) -> bool:
    # Four voices of MIDI numbers are an array too; their numbers are above 1.
    return (
        isinstance(piece, np.ndarray)
        and piece.ndim == 2
        and bool(piece.size and np.nanmax(piece) <= 1)
    )


def _roll(piece: np.ndarray) -> np.ndarray:
    if piece.shape[1] != KEYS:
        raise ValueError(f"its shape is {piece.shape}")
    if not np.isin(piece, (0, 1)).all():
        raise ValueError("it holds values that are neither 0 nor 1")
    return piece.astype(bool)


def _from_numbers(steps: Iterable[Iterable[float]]) -> np.ndarray:
    rows = [[number for number in step if _sounds(number)] for step in steps]
    frames = np.zeros((len(rows), KEYS), bool)
    for row, numbers in zip(frames, rows, strict=True):
        for number in numbers:
            key = int(number) - LOWEST
            if not 0 <= key < KEYS or key + LOWEST != number:
                raise ValueError(f"{number:g} is no MIDI number of a piano's keys")
            row[key] = True
    return frames


def _sounds(number: float) -> bool:
    return not math.isnan(number) and number != -1


def _mat(content: bytes) -> Any:
    from scipy.io import loadmat

    return loadmat(io.BytesIO(content))


_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
_ALLOWED = {
    *((core, name) for core in _CORES for name in ("_reconstruct", "scalar")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),  # how Python 3 pickles bytes by protocol 2
}


class _Plain(pickle.Unpickler):
    """Lists, numbers and NumPy arrays: a pickle can name any function to be called."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it names {module_name}.{global_name}, which music does not need"
            )
        return super().find_class(module_name, global_name)


def _pickle(content: bytes) -> Any:
    # latin1: as NumPy's arrays of Python 2 need it.
    return _Plain(io.BytesIO(content), encoding="latin1").load()


_READERS = {".mat": _mat, ".json": json.loads, ".pickle": _pickle, ".pkl": _pickle}


def _folder(folder: Path) -> dict[str, list[np.ndarray]]:
    """MIDI files below a folder; a fifth, by SHA-256, is held out with its copies."""
    files = sorted(
        f for f in folder.rglob("*") if f.suffix.lower() in (".mid", ".midi")
    )
    if len(files) < 2:
        raise UserError(
            f"--data.path {folder} holds {len(files)} .mid files: two or more are "
            f"needed, to train and to hold out"
        )
    pieces = [_opened(file) for file in files]
    ranked = sorted(zip(map(_digest, pieces), pieces, strict=True), key=itemgetter(0))
    distinct = sorted({digest for digest, _ in ranked})
    if len(distinct) < 2:
        raise UserError(
            f"--data.path {folder} holds one piece {len(files)} times: two or more are "
            f"needed, to train and to hold out"
        )
    cut = max(round(HELD_OUT * len(distinct)), 1)
    return {
        "train": [piece for digest, piece in ranked if digest >= distinct[cut]],
        "test": [piece for digest, piece in ranked if digest < distinct[cut]],
    }


def _opened(file: Path) -> np.ndarray:
    try:
        piece = midi.read(file)
    except ValueError as error:
        raise UserError(f"{file}: {error}; mend or remove it") from error
    return _piece(piece, str(file))


def _digest(piece: np.ndarray) -> bytes:
    return hashlib.sha256(np.packbits(piece, axis=1).tobytes()).digest()
