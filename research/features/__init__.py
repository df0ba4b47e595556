"""What pictures are judged by: one file turns pictures into feature vectors.

A data set names its own as `FEATURES`; one that does not is judged by `pixels`. A file
here has

  NAME    the word that the metrics' names begin with: "digit" gives `digit_frechet`
  TITLE   the same for a reader: "digit features"
  CLASSES whether it tells of which class a picture is: `Seen.probabilities`
  see(images) -> Seen
  dimensions(shape) -> features of a picture (height, width, channels); a UserError for
      pictures that it cannot judge

One that reads a file of the user's has `configured(file)` instead of the functions,
which gives an object with all five, and is named with it: `inception:FILE`.

Distances in different features do not compare. The word FID is kept for Inception's.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from research import parts
from research.errors import UserError


class Seen(NamedTuple):
    """What is seen in pictures."""

    features: np.ndarray  # [pictures, features] float32
    # Independent parts of a picture (the digits of a stack): `features` are as many
    # equal blocks, one for each.
    parts: int = 1
    # [pictures, parts, classes] float32, p(class); None where no class is known.
    probabilities: np.ndarray | None = None

    def blocks(self) -> np.ndarray:
        """The parts as examples of their own: [pictures · parts, features / parts]."""
        return self.features.reshape(len(self.features) * self.parts, -1)

    def labels(self) -> np.ndarray:
        """[pictures] int32, the likeliest classes; parts a, b, c give 100 a + 10 b + c.

        With another number of classes than ten that takes the place of the ten.
        """
        assert self.probabilities is not None
        each = self.probabilities.argmax(axis=-1)
        places = self.probabilities.shape[-1] ** np.arange(self.parts)[::-1]
        return (each @ places).astype(np.int32)

    def confidence(self) -> np.ndarray:
        """[pictures], mean over the parts of the highest probability."""
        assert self.probabilities is not None
        return self.probabilities.max(axis=-1).mean(axis=-1)


def distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first place of each different row, and which of these each row is.

    Args:
      rows: [rows, columns] of any type; compared byte by byte.

    Returns:
      first: int [different rows], such that `rows[first]` are all different.
      places: int [rows], such that `rows[first][places]` is `rows`.
    """
    # Rows as one opaque value each: unique by the row is some 50 times slower.
    whole = np.ascontiguousarray(rows)
    opaque = whole.view(np.dtype((np.void, whole.strides[0])))[:, 0]
    _, first, places = np.unique(opaque, return_index=True, return_inverse=True)
    return first, places


def of(dataset: Any) -> Any:
    """The features that a data set is judged by."""
    named = getattr(dataset, "FEATURES", "pixels")
    name, _, file = named.partition(":")
    part = parts.find("research.features", name)
    if not hasattr(part, "configured"):
        return parts.find("research.features", named)
    if not file:
        raise UserError(
            f"--data.features {name} reads a file of yours: give it, {name}:FILE"
        )
    return part.configured(Path(file))
