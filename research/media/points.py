"""Points in the plane: float32 [points, 2], shown as a scatter picture.

Where the data set knows its modes (`MODES` [modes, 2] and `SIGMA`), the picture shows
them as rings of 3 σ, and the score counts them.
"""

import io
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from research.errors import UserError
from research.metrics import points
from research.metrics.measured import Measured

ENTRY = "point"
SHOWN = 2_500
SUFFIX = ".png"
MARGIN = 0.3  # of the modes' extent, on each side
SEEN = 0.01  # of the picture's width: a ring of a narrower mode is drawn this wide


def to_network(samples: jax.Array) -> jax.Array:
    """The coordinates as they are."""
    return samples


def from_network(outputs: jax.Array) -> jax.Array:
    """The coordinates as they are."""
    return outputs


def write(samples: np.ndarray, file: Path, dataset: Any) -> None:
    """The scatter picture as a PNG file."""
    file.write_bytes(sheet(samples, dataset))


def score(
    generated: np.ndarray,
    reference: np.ndarray,
    again: np.ndarray,
    dataset: Any,
) -> dict[str, Measured]:
    """Modes, high quality and reverse KL; see `points.score`."""
    del reference  # the modes are known exactly
    if not hasattr(dataset, "MODES"):
        name = getattr(dataset, "__name__", dataset)
        raise UserError(
            f"{name} has no MODES and SIGMA, which points are scored by: give it both, "
            f"or --score-pictures 0"
        )
    return points.score(generated, again, dataset.MODES, dataset.SIGMA)


def watch(samples: np.ndarray, dataset: Any) -> dict[str, float]:
    """How far points lie apart, and where modes are known how many they capture."""
    found = {"diversity": float(points.pair_distances(samples).mean())}
    if hasattr(dataset, "MODES"):
        counts = points.histogram(samples, dataset.MODES, dataset.SIGMA)
        found["modes"] = float((counts[:-1] > 0).sum())
        found["quality"] = float(counts[:-1].sum() / len(samples))
    return found


def sheet(samples: np.ndarray, dataset: Any) -> bytes:
    """Points [points, 2] over the rings of the modes, as a PNG of 480 × 480 pixels."""
    modes = getattr(dataset, "MODES", samples)
    centre = (modes.max(axis=0) + modes.min(axis=0)) / 2
    half = max(float((modes.max(axis=0) - modes.min(axis=0)).max()) / 2, 1e-3)
    half *= 1 + MARGIN
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(4, 4), dpi=120, layout="constrained")
        axes = figure.subplots()
        axes.set(
            xlim=(centre[0] - half, centre[0] + half),
            ylim=(centre[1] - half, centre[1] + half),
            aspect="equal",
        )
        if hasattr(dataset, "MODES"):
            width = max(2 * points.REACH * dataset.SIGMA, SEEN * 2 * half)
            widths = np.full(len(modes), width)
            rings = EllipseCollection(
                widths, widths, np.zeros(len(modes)), units="xy", offsets=modes,
                transOffset=axes.transData, facecolor="none", edgecolor="#e07b1f", lw=1,
            )  # fmt: skip
            axes.add_collection(rings)
        axes.scatter(*samples.T, s=2, color="#1f83d6", alpha=0.5, lw=0)
        outside = np.abs(samples - centre).max(axis=1) > half
        axes.set_title(_title(samples, outside), fontsize=8)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", facecolor="white")
    return stream.getvalue()


def _title(samples: np.ndarray, outside: np.ndarray) -> str:
    told = f"{len(samples):,} points"
    return f"{told}, {outside.sum():,} outside the picture" if outside.any() else told
