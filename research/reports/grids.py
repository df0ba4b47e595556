"""What runs drew, each as its medium shows it, and real samples beside them."""

from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from research import data, media, parts
from research.reports import coverage
from research.reports.runs import Run
from research.settings import from_dict

REAL_SEED = 0


class Grid(NamedTuple):
    """One sheet of samples with its words."""

    file: str  # name of the PNG file
    title: str
    note: str  # a few words below the title
    alt: str
    png: bytes | None  # None where the medium has no picture
    words: str  # samples that are read, or empty


class RealData(NamedTuple):
    """What a page shows and says of a run's data set."""

    samples: np.ndarray  # held out, as many as the medium shows
    medium: ModuleType
    epoch: int  # training examples in an epoch
    about: str  # the first line of the data set's docstring


def real_data(run: Run) -> RealData:
    """Held-out samples of the data set that a run was trained on.

    Raises:
      UserError: the data set is not there any more.
    """
    part = {"part": "research.experiment:Data"}
    settings = from_dict(part | run.config["data"])
    dataset = data.find(settings, run.config.get("batch_size", 1))
    medium = media.of(dataset)
    held_out, train = (
        dataset.load(split, settings.folder) for split in ("test", "train")
    )
    arrays = jax.tree.map(jnp.asarray, held_out.arrays)
    positions = jnp.arange(medium.SHOWN, dtype=jnp.uint32)
    batch = dataset.batch(arrays, REAL_SEED, positions)
    about = (dataset.__doc__ or settings.name).strip().splitlines()[0]
    return RealData(np.asarray(batch[medium.ENTRY]), medium, train.examples, about)


def grids(runs: list[Run], real: RealData | None) -> list[Grid]:
    """Real samples first, thresholded ones where a run draws such, then each run's.

    Args:
      runs: of the page; those without samples are left out.
      real: samples of their data set.
    """
    drawn = [run for run in runs if run.samples is not None]
    found = []
    if real is not None and drawn:
        what = "real ones from the held-out data"
        note, samples = "held-out data", real.samples
        found.append(_grid("real", "Real", note, what, samples, real.medium))
        thresholded = [run.name for run in drawn if run.thresholded]
        if thresholded:
            levels = np.where(real.samples > 127, 255, 0).astype(np.uint8)
            note = f"what {' and '.join(thresholded)} can draw at best"
            what = "the same real pictures, each colour either off or full"
            title = "Real, two levels"
            found.append(
                _grid("real_thresholded", title, note, what, levels, real.medium)
            )
    for run in drawn:
        assert run.samples is not None
        what = f"drawn by {run.name} after {run.steps:,} steps"
        note = coverage.verdict(run) or f"after {run.steps:,} steps"
        medium = parts.find("research.media", run.medium)
        found.append(_grid(run.name, run.name, note, what, run.samples, medium))
    return found


def _grid(
    file: str, title: str, note: str, what: str, samples: np.ndarray, medium: ModuleType
) -> Grid:
    words = medium.words(samples) if hasattr(medium, "words") else ""
    file = f"grid_{file.replace('/', '_')}.png"
    return Grid(file, title, note, f"Samples: {what}", medium.sheet(samples), words)
