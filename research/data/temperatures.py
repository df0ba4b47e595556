"""Temperatures: a day of Seattle and San Francisco hour by hour, all of 2010.

Real measurements of NOAA (public domain) that ship in the package vega_datasets. A day
begins at any hour; of the year's weeks every fifth is held out, and no day reaches
over a week's end, so that none of it was trained on. No download.
"""

import csv
import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from research.errors import UserError
from research.metrics import series
from research.metrics.measured import Measured
from research.sources import order
from research.sources.split import Split, fingerprint, refuse_unknown

MEDIUM = "series"
CHANNELS = ("Seattle", "San Francisco")
UNIT = "°C"
# What a batch holds is (°C − CENTRE) / SPREAD: the whole year in [−1, 1].
CENTRE = np.array([13.73, 14.95], np.float32)
SPREAD = np.array([10.7, 7.4], np.float32)

HOURS = 24  # of a series
SHAPE = (HOURS, len(CHANNELS))
WEEK = 7 * 24
HELD_OUT = 5  # every fifth week
# SHA-256 of the file of each channel (vega_datasets 0.9.0).
FILES = {
    "seattle-temps.csv": (
        "c220666521ff4bec4ffb6f0d9acfdc5c1056564b1aad6f78d3b06aa0a0c8b085"
    ),
    "sf-temps.csv": "3f91699707cfed43ef551394bebef4c2ebe5505157b9be7bff9558eea2fbaaec",
}

batch = order.batch


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """The days of "train" or "test": frames float32 [days, 24, 2], in [−1, 1].

    `block` int32 [days] is the week of each.

    Raises:
      UserError: an unknown split, the package is missing or carries other numbers.
    """
    del data_dir
    refuse_unknown("temperatures", split)
    celsius = np.stack([_read(file) for file in FILES], axis=-1)
    frames = _days((celsius - CENTRE) / SPREAD, held_out=split == "test")
    arrays = {"frames": frames.astype(np.float32)}
    week = np.arange(len(frames), dtype=np.int32) // (WEEK - HOURS + 1)
    return Split(arrays | {"block": week}, len(frames), fingerprint(arrays))


def baselines(train: Split, held_out: Split) -> dict[str, Measured]:
    """What predicts held-out days without a network; see `series.baselines`."""
    days, known = held_out.arrays, train.arrays["frames"]
    return series.baselines(known, days["frames"], days["block"])


def _days(hours: np.ndarray, held_out: bool) -> np.ndarray:
    """Every run of HOURS inside a week of the split, [days, HOURS, channels]."""
    weeks = range(len(hours) // WEEK)
    kept = [week for week in weeks if (week % HELD_OUT == HELD_OUT - 1) == held_out]
    days = [
        np.lib.stride_tricks.sliding_window_view(
            hours[week * WEEK : (week + 1) * WEEK], HOURS, axis=0
        )
        for week in kept
    ]
    return np.concatenate(days).swapaxes(1, 2)


def _read(name: str) -> np.ndarray:
    """°C of each hour; the one that summer time left out, on 14 March, is not there."""
    # Found and read, not imported: importing vega_datasets imports pandas.
    package = importlib.util.find_spec("vega_datasets")
    if package is None or package.origin is None:
        raise UserError(
            "temperatures come from the package vega_datasets: "
            "pip install vega_datasets"
        )
    file = Path(package.origin).parent / "_data" / name
    if not file.exists() or _hash(file) != FILES[name]:
        raise UserError(
            f"{str(file)!r} does not hold the temperatures of vega_datasets 0.9.0; "
            "pip install --force-reinstall 'vega_datasets==0.9.0'"
        )
    with file.open(newline="") as stream:
        fahrenheit = [float(line["temp"]) for line in csv.DictReader(stream)]
    return (np.array(fahrenheit) - 32) / 1.8


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
