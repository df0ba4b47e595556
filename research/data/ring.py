"""Ring: 8 Gaussians of deviation 0.01 on the unit circle, points in the plane.

The constants are those of PacGAN (Lin 2018); VEEGAN (Srivastava 2017) has them too.
"""

from pathlib import Path

import numpy as np

from research.sources import mixture
from research.sources.split import Split

MEDIUM = "points"
ENDLESS = True
LABELS = 8
SIGMA = 0.01
_ANGLES = 2 * np.pi * np.arange(LABELS) / LABELS
MODES = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1).astype(np.float32)


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """What "train" or "test" (independent points) is drawn from; no file is read."""
    del data_dir
    return mixture.split("ring", split, MODES, SIGMA)


batch = mixture.batch_of(MODES, SIGMA)
