"""Grids of pictures as PNG files: what runs drew, and real ones beside them."""

import io
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from research import parts
from research.reports import coverage
from research.reports.runs import Run

COLUMNS = 5
GAP = 2  # pixels between pictures, transparent so that it suits any page
SCALE = 3  # screen pixels for each pixel of a picture
REAL_SEED = 0


class Grid(NamedTuple):
    """One 5×5 sheet with its words."""

    file: str  # name of the PNG file
    title: str
    note: str  # a few words below the title
    alt: str
    png: bytes


class RealData(NamedTuple):
    """What a page shows and says of a run's data set."""

    pictures: np.ndarray  # uint8 [25, height, width, channels], held out
    epoch: int  # training examples in an epoch
    about: str  # the first line of the data set's docstring


def real_data(run: Run) -> RealData:
    """Held-out pictures of the data set that a run was trained on.

    Raises:
      UserError: the data set is not there any more.
    """
    data = run.config["data"]
    folder = Path(data["folder"]) if data.get("folder") else None
    dataset = parts.find("research.data", data["name"])
    held_out, train = (dataset.load(split, folder) for split in ("test", "train"))
    arrays = jax.tree.map(jnp.asarray, held_out.arrays)
    positions = jnp.arange(COLUMNS**2, dtype=jnp.uint32)
    batch = dataset.batch(arrays, REAL_SEED, positions)
    about = (dataset.__doc__ or data["name"]).strip().splitlines()[0]
    return RealData(np.asarray(batch["image"]), train.examples, about)


def grids(runs: list[Run], real: RealData | None) -> list[Grid]:
    """Real pictures first, thresholded ones where a run draws such, then each run's.

    Args:
      runs: of the page; those without pictures are left out.
      real: pictures of their data set.
    """
    drawn = [run for run in runs if run.pictures is not None]
    found = []
    if real is not None and drawn:
        what = "real pictures from the held-out data"
        found.append(_grid("real", "Real", "held-out data", what, real.pictures))
        thresholded = [run.name for run in drawn if run.thresholded]
        if thresholded:
            levels = np.where(real.pictures > 127, 255, 0).astype(np.uint8)
            note = f"what {' and '.join(thresholded)} can draw at best"
            what = "the same real pictures, each colour either off or full"
            title = "Real, two levels"
            found.append(_grid("real_thresholded", title, note, what, levels))
    for run in drawn:
        assert run.pictures is not None
        what = f"pictures drawn by {run.name} after {run.steps:,} steps"
        note = coverage.verdict(run) or f"after {run.steps:,} steps"
        found.append(_grid(f"{run.name}", run.name, note, what, run.pictures))
    return found


def sheet(images: np.ndarray) -> np.ndarray:
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


def _grid(file: str, title: str, note: str, what: str, images: np.ndarray) -> Grid:
    rows = -(-len(images) // COLUMNS)
    alt = f"Grid of {rows} by {COLUMNS}: {what}"
    png = _png(sheet(images).repeat(SCALE, axis=0).repeat(SCALE, axis=1))
    return Grid(f"grid_{file.replace('/', '_')}.png", title, note, alt, png)


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
