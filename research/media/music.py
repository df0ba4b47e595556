"""Music: frames bool [pieces, steps, 88], shown as piano rolls and played as MIDI."""

import io
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from research.metrics import music
from research.metrics.measured import Measured
from research.sources import midi

ENTRY = "frames"
CALLED = "pieces"
SHOWN = 6
SUFFIX = ".png"
SCALE = 4  # screen pixels of a step and of a key
PAPER, INK, OCTAVE = 255, 40, 225  # grey of silence, of a note, of every C
REST = 4  # silent steps between two pieces of a MIDI file
GAP = 8  # pixels between rolls
WIDTH = 192  # steps of the rolls beside each other, or one of any length
LOWEST_C = 3  # the first C among the keys


def to_network(frames: jax.Array) -> jax.Array:
    """Frames → float32 of −1 and 1."""
    return 2 * frames.astype(jnp.float32) - 1


def from_network(outputs: jax.Array) -> jax.Array:
    """Values in [−1, 1] → the keys above 0, bool."""
    return outputs > 0


def write(frames: np.ndarray, file: Path, dataset: Any) -> None:
    """The rolls as a PNG file, and beside it a MIDI file: one piece after another."""
    file.write_bytes(sheet(frames, dataset))
    rests = np.pad(frames, ((0, 0), (0, REST), (0, 0)))
    midi.write(rests.reshape(-1, frames.shape[-1]), file.with_suffix(".mid"))


def sheet(frames: np.ndarray, dataset: Any) -> bytes:
    """Piano rolls as a PNG: time to the right, high keys above."""
    del dataset
    stream = io.BytesIO()
    Image.fromarray(rolls(frames)).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def rolls(frames: np.ndarray) -> np.ndarray:
    """Grey uint8 picture of frames [pieces, steps, keys], the octave's Cs marked.

    As many beside each other as WIDTH has room for, then others below.
    """
    pieces, steps, keys = frames.shape
    paper = np.full((keys, steps), PAPER, np.uint8)
    paper[LOWEST_C::12] = OCTAVE
    pictures = np.where(frames.swapaxes(1, 2), np.uint8(INK), paper)[:, ::-1]
    pictures = pictures.repeat(SCALE, axis=1).repeat(SCALE, axis=2)
    height, width = keys * SCALE + GAP, steps * SCALE + GAP
    columns = min(pieces, max(1, WIDTH // steps))
    shape = (-(-pieces // columns) * height - GAP, columns * width - GAP)
    sheet = np.full(shape, PAPER, np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = row * height, column * width
        sheet[top : top + keys * SCALE, left : left + steps * SCALE] = picture
    return sheet


def likelihood(
    found: dict[str, np.ndarray], blocks: np.ndarray | None = None
) -> dict[str, Measured]:
    """Nats a held-out frame, by both averages; see `music.likelihood`."""
    del blocks  # each held-out piece is measured once, whole or by one window of it
    lengths, first = found["targets"], found["first_frame_nats"]
    later = found["loss"] * lengths - first
    return music.likelihood(first, later, lengths)


def watch(frames: np.ndarray, dataset: Any) -> dict[str, float]:
    """How much pieces differ."""
    del dataset
    return {"diversity": float(music.pair_distances(frames).mean())}


def score(
    generated: np.ndarray,
    reference: np.ndarray,
    again: np.ndarray,
    dataset: Any,
    blocks: np.ndarray | None = None,
) -> dict[str, Measured]:
    """How music compares with real music; see `music.score`."""
    del dataset
    return music.score(generated, reference, again, blocks)
