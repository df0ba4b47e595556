"""What runs drew, each as its medium shows it, and real samples beside them."""

from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from research import data, media, parts
from research.errors import UserError
from research.evaluation import COPIED_FROM
from research.experiment import Data
from research.reports import coverage
from research.reports.runs import Run
from research.settings import from_dict
from research.sources.split import Split

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
    dataset: Any  # in research/data, or as configured
    training: np.ndarray  # samples that were trained on, up to 10,000
    epoch: int  # training examples in an epoch
    about: str  # the first line of the data set's docstring


def real_data(run: Run) -> RealData:
    """Held-out samples of the data set that a run was trained on.

    Raises:
      UserError: the data set is not there any more.
    """
    settings, dataset = _dataset(run)
    medium = media.of(dataset)
    held_out, train = (
        dataset.load(split, settings.folder) for split in ("test", "train")
    )
    shown = _samples(held_out, dataset, medium.SHOWN)
    training = _samples(train, dataset, min(train.examples, COPIED_FROM))
    about = (dataset.__doc__ or settings.name).strip().splitlines()[0]
    return RealData(shown, medium, dataset, training, train.examples, about)


def _samples(split: Split, dataset: Any, count: int) -> np.ndarray:
    """The first samples of a split, in the order of REAL_SEED."""
    positions = jnp.arange(count, dtype=jnp.uint32)
    batch = dataset.batch(jax.tree.map(jnp.asarray, split.arrays), REAL_SEED, positions)
    return np.asarray(batch[media.of(dataset).ENTRY])


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
        if hasattr(real.medium, "words"):  # held-out texts bring their context
            longest = max(
                run.samples.shape[1] for run in drawn if run.samples is not None
            )
            samples = samples[:, :longest]
        found.append(_grid("real", "Real", note, what, samples, *real[1:3]))
        thresholded = [run.name for run in drawn if run.thresholded]
        if thresholded:
            levels = np.where(real.samples > 127, 255, 0).astype(np.uint8)
            note = f"what {' and '.join(thresholded)} can draw at best"
            what = "the same real pictures, each colour either off or full"
            title = "Real, two levels"
            found.append(
                _grid("real_thresholded", title, note, what, levels, *real[1:3])
            )
    for run in drawn:
        assert run.samples is not None
        what = f"drawn by {run.name} after {run.steps:,} steps"
        note = coverage.verdict(run) or f"after {run.steps:,} steps"
        medium = parts.find("research.media", run.medium)
        dataset = real.dataset if real is not None else _known(run)
        found.append(
            _grid(run.name, run.name, note, what, run.samples, medium, dataset)
        )
        if real is not None and hasattr(medium, "beside_nearest"):
            found.append(_nearest(run, real))
    return found


def _nearest(run: Run, real: RealData) -> Grid:
    """A run's samples, each above the training sample nearest to it."""
    assert run.samples is not None
    shown = real.medium.beside_nearest(run.samples, real.training, real.dataset)
    note = "rows 1 and 3; below each the nearest training data"
    what = f"drawn by {run.name}, and below them the nearest training samples"
    title = f"{run.name}, nearest"
    return _grid(f"{run.name}_nearest", title, note, what, shown, *real[1:3])


def _dataset(run: Run) -> tuple[Data, Any]:
    """The settings of the data set that a run was trained on, and the data set."""
    part = {"part": "research.experiment:Data"}
    settings = from_dict(part | run.config["data"])
    return settings, data.find(settings, run.config.get("batch_size", 1))


def _known(run: Run) -> Any:
    """The data set that a run was trained on; None where it is not there any more."""
    try:
        return _dataset(run)[1]
    except UserError:
        return None


def _grid(
    file: str,
    title: str,
    note: str,
    what: str,
    samples: np.ndarray,
    medium: ModuleType,
    dataset: Any,
) -> Grid:
    words = medium.words(samples) if hasattr(medium, "words") else ""
    file = f"grid_{file.replace('/', '_')}.png"
    png = medium.sheet(samples, dataset)
    return Grid(file, title, note, f"Samples: {what}", png, words)
