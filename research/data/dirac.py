"""Dirac: every real sample is the origin of the plane (Mescheder 2018, section 2).

The simplest data on which a GAN can fail to come to rest. A sample counts as near the
origin within 3 × 0.05.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from research.sources.split import Split, fingerprint, refuse_unknown

MEDIUM = "points"
LABELS = 1
SIGMA = 0.05
MODES = np.zeros((1, 2), np.float32)
EXAMPLES = 100_000  # of an epoch; all are the same


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """The origin, for "train" and for "test"; no file is read."""
    del data_dir
    refuse_unknown("dirac", split)
    return Split({"point": MODES}, EXAMPLES, fingerprint({"modes": MODES}, "dirac"))


def batch(arrays, seed, positions: jax.Array) -> dict[str, jax.Array]:
    """point float32 [batch, 2] and label int32 [batch], all 0."""
    del seed
    point = jnp.broadcast_to(jnp.asarray(arrays["point"]), (len(positions), 2))
    return {"point": point, "label": jnp.zeros(len(positions), jnp.int32)}
