"""The score of a generator of pictures, in the features that their data set names.

Distances and neighbours are those of these features: comparable within this project
only, and never with numbers in other features.
"""

from typing import Any

import numpy as np

from research.features import Seen, digits, distinct
from research.metrics import (
    classifier_score,
    frechet,
    kernel_distance,
    memorisation,
    modes,
    neighbours,
)
from research.metrics.measured import Measured, mean_beside
from research.metrics.pairs import random_pairs

LEAST = 5 * neighbours.GROUPS  # samples that the neighbours' intervals need


def score(
    generated: np.ndarray,
    reference: np.ndarray,
    again: np.ndarray,
    features: Any = digits,
    seed: int = 0,
) -> dict[str, Measured]:
    """How generated pictures compare with real ones.

    Args:
      generated: uint8 [pictures, height, width, channels], the model's.
      reference: uint8 [reference pictures, …], real and held out.
      again: uint8 [pictures, …], other real pictures, as many as were generated: they
        give every floor.
      features: a file of research/features, or as configured.
      seed: of the bootstrap, the subsets and the pairs.

    Returns:
      Where the features know classes,
        modes_captured, modes_with_5: classes (1,000 for three channels of digits) named
          at least once, at least five times, among the pictures;
        kl_to_uniform: KL(classes of the pictures ‖ uniform), nats;
        classifier_score: see `classifier_score`;
        confidence: mean over pictures of the classifier's highest probability. Some
          noise is named with certainty, so it tells little without a distance.
      NAME_frechet, NAME_kernel: Fréchet and kernel distance to the reference, where
        NAME is the features'.
      precision, recall, density, coverage: see `neighbours`.
      pair_distance: root mean square difference of two pictures, pixels in [0, 1]; near
        0 the generator draws one picture only.

    Raises:
      ValueError: other types or shapes, too few pictures.
    """
    if len(generated) != len(again):
        raise ValueError(
            f"floors need as many real pictures as generated ones: {len(again)} "
            f"against {len(generated)}"
        )
    seen, real, other = map(features.see, (generated, reference, again))
    found = _named(seen, other, seed) if seen.probabilities is not None else {}
    name, sets = features.NAME, (seen.features, real.features, other.features)
    return {
        **found,
        f"{name}_frechet": frechet.measure(*sets),
        # A real picture that comes twice would be near for that alone: to itself.
        f"{name}_kernel": kernel_distance.measure(*sets[:2], once(sets[2]), seed),
        **neighbours.measure(sets[0], *map(once, sets[1:])),
        "pair_distance": mean_beside(
            pair_distances(generated, seed),
            pair_distances(again, seed),
            "of the pixel range",
        ),
    }


def copying(
    generated: np.ndarray,
    held_out: np.ndarray,
    training: np.ndarray,
    features: Any = digits,
) -> dict[str, Measured]:
    """Whether generated pictures repeat training pictures; see `memorisation`.

    Each part of a picture counts by itself where the features tell parts apart: a stack
    of digits can be new while its digits are copies.

    Args:
      generated: uint8 [pictures, height, width, channels]; the first 2,500 count.
      held_out: uint8 [held-out pictures, …], real ones that were never trained on.
      training: uint8 [training pictures, …], those that could have been copied.
      features: a file of research/features, or as configured.

    Returns:
      copying and nearest_training.
    """
    seen, real, known = (
        features.see(images).blocks()
        for images in (generated[: neighbours.SAMPLES], held_out, training)
    )
    return memorisation.measure(seen, once(real), once(known))


def once(rows: np.ndarray) -> np.ndarray:
    """Rows [rows, columns] without repetitions, in the order of their first place."""
    first, _ = distinct(rows)
    return rows[np.sort(first)]


def pair_distances(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Root mean square pixel differences of disjoint random pairs, [pictures // 2].

    Args:
      images: uint8 [pictures, height, width, channels].
      seed: of the pairing.
    """
    first, second = (
        pixels.astype(np.float32) / 255 for pixels in random_pairs(images, seed)
    )
    return np.sqrt(np.mean((first - second) ** 2, axis=(1, 2, 3)))


def _named(seen: Seen, other: Seen, seed: int) -> dict[str, Measured]:
    """What the classes of generated and of as many real pictures say."""
    assert seen.probabilities is not None
    assert other.probabilities is not None
    number = seen.probabilities.shape[-1] ** seen.parts
    return {
        **modes.measure(seen.labels(), other.labels(), number, seed),
        "classifier_score": classifier_score.measure(
            seen.probabilities, other.probabilities, seed
        ),
        "confidence": mean_beside(seen.confidence(), other.confidence(), "probability"),
    }
