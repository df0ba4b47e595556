"""Pictures: uint8 [pictures, height, width, channels], shown as a grid."""

import io
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from research import features
from research.errors import UserError
from research.metrics import bits, memorisation, pictures
from research.metrics.measured import Measured

ENTRY = "image"
CALLED = "pictures"
SHOWN = 25
SUFFIX = ".png"
COLUMNS = 5
GAP = 2  # pixels between the pictures of a grid
HEIGHT = 84  # screen pixels of a picture on a page, about


def to_network(images: jax.Array) -> jax.Array:
    """uint8 pictures → float32 in [-1, 1], the range of tanh."""
    return images.astype(jnp.float32) / 127.5 - 1


def from_network(images: jax.Array) -> jax.Array:
    """Pictures in [-1, 1] → uint8, rounded."""
    return jnp.round(jnp.clip(images, -1, 1) * 127.5 + 127.5).astype(jnp.uint8)


def write(images: np.ndarray, file: Path, dataset: Any) -> None:
    """A grid of the pictures as a PNG file."""
    del dataset
    Image.fromarray(grid(images)).save(file)


def score(
    generated: np.ndarray,
    reference: np.ndarray,
    again: np.ndarray,
    dataset: Any,
) -> dict[str, Measured]:
    """How pictures compare with real ones; see `pictures.score`."""
    return pictures.score(generated, reference, again, features.of(dataset))


def copying(
    generated: np.ndarray, held_out: np.ndarray, training: np.ndarray, dataset: Any
) -> dict[str, Measured]:
    """Whether pictures repeat training pictures; see `pictures.copying`."""
    return pictures.copying(generated, held_out, training, features.of(dataset))


def watch(samples: np.ndarray, dataset: Any) -> dict[str, float]:
    """How much pictures differ, and of how many classes they are where it is known."""
    found = {"diversity": float(pictures.pair_distances(samples).mean())}
    judge = features.of(dataset)
    if judge.CLASSES:
        found["modes"] = float(len(np.unique(judge.see(samples).labels())))
    return found


def refuse(count: int, dataset: Any, held_out: int) -> None:
    """Raises UserError for so few pictures that they have no score.

    Args:
      count: pictures that will be drawn, 0 for no score.
      dataset: with its IMAGE_SHAPE.
      held_out: real ones to compare them with.
    """
    judge = features.of(dataset)
    least = max(judge.dimensions(dataset.IMAGE_SHAPE) + 1, pictures.LEAST)
    if not count:
        return
    if count < least:
        raise UserError(
            f"--score-pictures {count}: distances in {judge.TITLE} need {least} or "
            f"more; give that, or 0 to leave the score out"
        )
    if held_out < least:
        raise UserError(
            f"the data hold {held_out} pictures out, and distances in {judge.TITLE} "
            f"need {least} or more: take a larger set, or --score-pictures 0"
        )


def likelihood(found: dict[str, np.ndarray]) -> dict[str, Measured]:
    """The cost of held-out pictures in bits a pixel.

    How often the likeliest pixel was right means little beside it.
    """
    return {"bits_per_pixel": bits.measure(found["loss"], 1, "bits a pixel")}


def beside_nearest(
    samples: np.ndarray, training: np.ndarray, dataset: Any
) -> np.ndarray:
    """Ten samples in two rows, each above the row of the training pictures nearest.

    Nearest by the difference of all pixels; of each channel by itself where the
    channels are digits of their own.
    """
    shown = samples[: 2 * COLUMNS]
    parts = features.of(dataset).see(shown[:1]).parts

    def blocks(images):
        """[pictures · parts, pixels of a part]"""
        split = np.stack(np.split(images, parts, axis=-1), axis=1)
        return split.reshape(len(images) * parts, -1)

    known = pictures.once(blocks(training))
    place = memorisation.nearest(blocks(shown), known).place
    shape = (len(shown), parts, *shown.shape[1:3], shown.shape[3] // parts)
    nearest = np.concatenate(list(np.moveaxis(known[place].reshape(shape), 1, 0)), -1)
    rows = zip(*(np.split(one, 2) for one in (shown, nearest)), strict=True)
    return np.concatenate([half for row in rows for half in row])


def grid(images: np.ndarray, columns: int = COLUMNS, gap: int = GAP) -> np.ndarray:
    """Pictures [count, height, width, channels] side by side on white, uint8."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
    paper = np.full(shape, 255, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        paper[top : top + height, left : left + width] = image
    return paper[..., 0] if channels == 1 else paper


def strips(ways: np.ndarray, file: Path) -> None:
    """Pictures [ways, steps, height, width, channels] as a PNG, a row for each way."""
    flat = ways.reshape(-1, *ways.shape[2:])
    Image.fromarray(grid(flat, columns=ways.shape[1])).save(file)


def still(image: np.ndarray) -> Image.Image:
    """One picture [height, width, channels], for a film."""
    return Image.fromarray(grid(image[None], columns=1))


def sheet(images: np.ndarray, dataset: Any) -> bytes:
    """The pictures as a PNG, enlarged; the gaps are clear, to suit any page."""
    del dataset
    scale = max(1, round(HEIGHT / images.shape[1]))
    pixels = transparent(images).repeat(scale, axis=0).repeat(scale, axis=1)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def transparent(images: np.ndarray) -> np.ndarray:
    """Pictures [count, height, width, 1 or 3] as one RGBA sheet, 5 to a row, uint8."""
    count, height, width, _ = images.shape
    rows = -(-count // COLUMNS)
    pitch = np.array([height + GAP, width + GAP])
    canvas = np.zeros((*(pitch * (rows, COLUMNS) - GAP), 4), np.uint8)
    for i, image in enumerate(images):
        top, left = pitch * divmod(i, COLUMNS)
        # One channel becomes three equal ones by broadcasting.
        canvas[top : top + height, left : left + width, :3] = image
        canvas[top : top + height, left : left + width, 3] = 255
    return canvas
