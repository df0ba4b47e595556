"""Music as frames: which of a piano's 88 keys sound at each step of time."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from research.errors import UserError
from research.metrics import music
from research.metrics.measured import Measured
from research.sources import order
from research.sources.musicxml import Note
from research.sources.split import Split, fingerprint, refuse_unknown

KEYS = 88
LOWEST = 21  # MIDI number of the first key, an A
LONGEST = 20_000  # steps of a piece; a batch of longer ones would take gigabytes


def roll(notes: Iterable[Note], per_quarter: int = 1) -> np.ndarray:
    """The keys that sound at the beginning of each step, bool [steps, 88].

    Args:
      notes: of all parts.
      per_quarter: steps of a quarter note.

    Raises:
      ValueError: a pitch that a piano does not have, or more than LONGEST steps.
    """
    notes = list(notes)
    end = max((note.end for note in notes), default=Fraction(0))
    steps = _ceiling(end * per_quarter)
    if steps > LONGEST:  # before they are made: a damaged file has billions
        raise ValueError(f"it has {steps:,} steps, and {LONGEST:,} can be read")
    frames = np.zeros((steps, KEYS), bool)
    for note in notes:
        if not 0 <= note.pitch - LOWEST < KEYS:
            raise ValueError(f"pitch {note.pitch} is none of a piano's 88 keys")
        start, end = (_ceiling(time * per_quarter) for time in note[:2])
        frames[start:end, note.pitch - LOWEST] = True
    return frames


def _ceiling(time: Fraction) -> int:
    return -(-time.numerator // time.denominator)


@dataclasses.dataclass(frozen=True)
class PianoRolls:
    """A data set of pieces of music."""

    name: str
    read: Callable[[], Mapping[str, list[np.ndarray]]]
    """the pieces of "train" and "test", each bool [steps, 88]"""
    length: int | None = None
    """steps of a window; None: whole pieces"""
    about: str = ""

    MEDIUM = "music"

    @property
    def ENDLESS(self) -> bool:  # noqa: N802
        """Whether every epoch has other samples: windows do, whole pieces do not."""
        return self.length is not None

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return self.about

    def load(self, split: str, data_dir: str | Path | None = None) -> Split:
        """The pieces of "train" or "test", silent after their ends.

        Args:
          split: "train" or "test".
          data_dir: not used: the music is read where it lies.

        Raises:
          UserError: an unknown split, or a window that no piece could fill.
        """
        del data_dir
        refuse_unknown(self.name, split)
        pieces = self.read()[split]
        lengths = np.array([len(piece) for piece in pieces], np.int32)
        if self.length is not None and not 2 <= self.length <= lengths.max():
            raise UserError(
                f"--data.length {self.length}: windows of {self.name} have 2 to "
                f"{lengths.max()} steps, as many as its longest piece"
            )
        frames = np.zeros((len(pieces), lengths.max(), KEYS), bool)
        for row, piece in zip(frames, pieces, strict=True):
            row[: len(piece)] = piece
        arrays = {"frames": frames, "lengths": lengths}
        return Split(arrays, len(pieces), fingerprint(arrays, self.length))

    def batch(
        self,
        arrays: Mapping[str, jax.Array],
        seed: int | jax.Array,
        positions: jax.Array,
    ) -> dict[str, jax.Array]:
        """Pieces, or a window of each from a place of its own.

        Args:
          arrays: of one split.
          seed: of the order and of the places.
          positions: uint32 [batch], counting pieces since the start of training.

        Returns:
          frames bool [batch, steps, 88], false past the end, and lengths int32 [batch];
          of windows the pieces that they were cut from, as block int32 [batch].
        """
        steps = self.length
        if steps is None:
            return order.batch(arrays, seed, positions)
        pieces = jnp.arange(len(arrays["lengths"]), dtype=jnp.int32)
        found = order.batch({**arrays, "block": pieces}, seed, positions)
        key = jax.random.key(seed)

        def window(frames, length, position):
            spare = jnp.maximum(length - steps, 0)
            here = jax.random.fold_in(key, position)
            start = jax.random.randint(here, (), 0, spare + 1)
            part = jax.lax.dynamic_slice_in_dim(frames, start, steps)
            return part, jnp.minimum(length, steps)

        frames, lengths = jax.vmap(window)(found["frames"], found["lengths"], positions)
        return {"frames": frames, "lengths": lengths, "block": found["block"]}

    def baselines(self, train: Split, held_out: Split) -> dict[str, Measured]:
        """What predicts the held-out music without a network; see metrics.music."""
        return music.memoryless(_pieces(train), _pieces(held_out))


def _pieces(split: Split) -> list[np.ndarray]:
    frames, lengths = split.arrays["frames"], split.arrays["lengths"]
    return [piece[:n] for piece, n in zip(frames, lengths, strict=True)]
