"""Stacked digits: three digits a picture, 28×28×3, 1,000 equally likely classes.

Each channel is a digit of `digits`, drawn by its own permutation, and the label is
100 a + 10 b + c of the digits in red, green and blue. Nothing is stored: the picture
is put together inside the compiled step. Pictures of "train" are made of the 4,000
training digits alone, those of "test" of the 1,000 held out. Metz et al., "Unrolled
generative adversarial networks", 2017, count a GAN's modes on such pictures.
"""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp

from research.data import digits
from research.sources.order import shuffled
from research.sources.split import Split, fingerprint

IMAGE_SHAPE = (28, 28, 3)
LABELS = 1000
ENDLESS = True  # other digits meet in every epoch
FEATURES = "digits"

# Of 4,000³ and 1,000³ possible pictures, an epoch is as many as MNIST's splits have:
# the article's 25 epochs are then as long as they would be on MNIST.
EXAMPLES = {"train": 60_000, "test": 10_000}


def load(split: str, data_dir: str | Path | None = None) -> Split:
    """The digits that pictures of "train" or "test" are put together from.

    Args:
      split: "train" (60,000 pictures an epoch) or "test" (10,000, of held-out digits).
      data_dir: folder of all data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets.

    Raises:
      UserError: an unknown split, or a folder that cannot be used.
    """
    arrays, _, name = digits.load(split, data_dir)
    examples = EXAMPLES[split]
    return Split(arrays, examples, fingerprint({}, "stacked_digits", examples, name))


def batch(
    arrays: Mapping[str, jax.Array], seed: int | jax.Array, positions: jax.Array
) -> dict[str, jax.Array]:
    """Pictures of three digits.

    Each channel visits all its digits before it repeats one, so that the share of
    each digit is exact at every multiple of their number.

    Args:
      arrays: image uint8 [digits, 28, 28, 1] and label int32 [digits].
      seed: of the order.
      positions: uint32 [batch], counting pictures since the start of training.

    Returns:
      image uint8 [batch, 28, 28, 3] and label int32 [batch], 0 to 999.
    """
    number = len(arrays["label"])
    index = [shuffled(seed, positions, number, stream) for stream in (1, 2, 3)]
    image = jnp.concatenate([arrays["image"][rows] for rows in index], axis=-1)
    hundreds, tens, ones = (arrays["label"][rows] for rows in index)
    return {"image": image, "label": 100 * hundreds + 10 * tens + ones}
