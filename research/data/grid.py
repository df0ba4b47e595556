"""Grid: 25 Gaussians of deviation 0.05 at {−4, −2, 0, 2, 4}², points in the plane.

The constants are those of PacGAN (Lin 2018); VEEGAN (Srivastava 2017) has them too.
"""

from pathlib import Path

import numpy as np

from research.sources import mixture
from research.sources.split import Split

MEDIUM = "points"
ENDLESS = True
LABELS = 25
SIGMA = 0.05
_LINE = np.arange(-4, 5, 2, dtype=np.float32)
MODES = np.stack(np.meshgrid(_LINE, _LINE, indexing="ij"), axis=-1).reshape(-1, 2)


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """What "train" or "test" (independent points) is drawn from; no file is read."""
    del data_dir
    return mixture.split("grid", split, MODES, SIGMA)


batch = mixture.batch_of(MODES, SIGMA)
