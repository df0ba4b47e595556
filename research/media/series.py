"""Series of real values: frames float32 [series, time, channels], drawn as curves.

The data set names the channels (`CHANNELS`) and, where the values are not those that
people read, how to go back: `CENTRE + SPREAD · value` in `UNIT`.
"""

import io
import math
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from research.errors import UserError
from research.metrics import series
from research.metrics.measured import Measured, mean

ENTRY = "frames"
CALLED = "series"
SHOWN = 12
SUFFIX = ".png"
COLUMNS = 4
COLOURS = ("#1f83d6", "#e07b1f", "#8a63d2", "#2f9e78")


def to_network(samples: jax.Array) -> jax.Array:
    """The values as they are: the data set has scaled them."""
    return samples


def from_network(outputs: jax.Array) -> jax.Array:
    """The values as they are."""
    return outputs


def write(samples: np.ndarray, file: Path, dataset: Any) -> None:
    """The curves as a PNG file, and all values beside it as .npy."""
    file.write_bytes(sheet(samples[:SHOWN], dataset))
    np.save(file.with_suffix(".npy"), samples)


def score(
    generated: np.ndarray,
    reference: np.ndarray,
    again: np.ndarray,
    dataset: Any,
    blocks: np.ndarray | None = None,
) -> dict[str, Measured]:
    """How series compare with real ones; see `series.score`."""
    del dataset
    return series.score(generated, reference, again, blocks=blocks)


def likelihood(
    found: dict[str, np.ndarray], blocks: np.ndarray | None = None
) -> dict[str, Measured]:
    """−log density of a held-out step in nats, by units of the data."""
    return {"step_nats": mean(found["loss"], series.NATS, blocks)}


def watch(samples: np.ndarray, dataset: Any) -> dict[str, float]:
    """How much series differ."""
    del dataset
    return {"diversity": float(series.pair_distances(samples).mean())}


def refuse(count: int, dataset: Any, held_out: int) -> None:
    """Raises UserError for so few series that they have no score.

    Args:
      count: series that will be drawn, 0 for no score.
      dataset: with its SHAPE, the steps and channels of a series.
      held_out: real ones to compare them with.
    """
    least = math.prod(dataset.SHAPE) + 1
    if count and min(count, held_out) < least:
        raise UserError(
            f"--score-pictures {count}, with {held_out:,} held-out series: distances "
            f"of so long series need {least} of each or more; give that, or 0 to leave "
            f"the score out"
        )


def sheet(samples: np.ndarray, dataset: Any) -> bytes:
    """A small plot for each series, all on one scale, as a PNG."""
    values = samples
    if hasattr(dataset, "SPREAD"):
        values = dataset.CENTRE + dataset.SPREAD * samples
    rows = -(-len(values) // COLUMNS)
    with mpl.rc_context({"font.size": 7}):
        figure = Figure(figsize=(4.8, 1.15 * rows + 0.4), dpi=120, layout="constrained")
        panels = figure.subplots(
            rows, COLUMNS, sharex=True, sharey=True, squeeze=False
        ).ravel()
        for axes in panels[len(values) :]:
            axes.set_axis_off()
        lines = []
        for axes, one in zip(panels, values, strict=False):
            axes.set_prop_cycle(color=COLOURS)
            lines = axes.plot(one, lw=1.2)
            axes.spines[["top", "right"]].set_visible(False)
        names = getattr(dataset, "CHANNELS", ())
        if names:
            figure.legend(lines, names, loc="outside upper center", ncols=len(names))
        panels[0].set_ylabel(getattr(dataset, "UNIT", ""))
        stream = io.BytesIO()
        figure.savefig(stream, format="png", facecolor="white")
    return stream.getvalue()
