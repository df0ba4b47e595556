"""The score of a generator of digit pictures, stacked or single.

Features and classes come from the project's own digit classifier, so the distance is
the digit-feature Fréchet distance: comparable within this project only, never with
distances in Inception's features.
"""

import math

import numpy as np

from research.metrics import digit_features, frechet, modes
from research.metrics.measured import Measured


def score(
    generated: np.ndarray, reference: np.ndarray, again: np.ndarray, seed: int = 0
) -> dict[str, Measured]:
    """How generated pictures compare with real ones.

    Args:
      generated: uint8 [pictures, 28, 28, channels], the model's.
      reference: uint8 [reference pictures, 28, 28, channels], real and held out.
      again: uint8 [pictures, 28, 28, channels], other real pictures, as many as were
        generated: they give every floor.
      seed: of the bootstrap and of the pairs.

    Returns:
      modes_captured, modes_with_5: classes (1,000 for three channels) that the
        classifier finds at least once, at least five times, among the pictures.
      kl_to_uniform: KL(classes of the pictures ‖ uniform), nats.
      digit_frechet: digit-feature Fréchet distance to the reference.
      confidence: mean over pictures of the classifier's highest probability. Some
        noise is named with certainty, so it tells little without digit_frechet.
      pair_distance: root mean square difference of two pictures, pixels in [0, 1]; near
        0 the generator draws one picture only.

    Raises:
      ValueError: other types or shapes, unequal numbers, too few pictures.
    """
    if len(generated) != len(again):
        raise ValueError(
            f"floors need as many real pictures as generated ones: {len(again)} "
            f"against {len(generated)}"
        )
    seen, real, other = map(digit_features.features, (generated, reference, again))
    number = 10 ** generated.shape[-1]
    return {
        **modes.measure(seen.labels, other.labels, number, seed),
        "digit_frechet": frechet.measure(seen.features, real.features, other.features),
        "confidence": mean(seen.confidence, other.confidence, "probability"),
        "pair_distance": mean(
            pair_distances(generated, seed),
            pair_distances(again, seed),
            "of the pixel range",
        ),
    }


def pair_distances(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Root mean square pixel differences of disjoint random pairs, [pictures // 2].

    Args:
      images: uint8 [pictures, height, width, channels].
      seed: of the pairing.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    half = len(images) // 2
    pixels = images[order].astype(np.float32) / 255
    differences = pixels[:half] - pixels[half : 2 * half]
    return np.sqrt(np.mean(differences**2, axis=(1, 2, 3)))


def mean(values: np.ndarray, real: np.ndarray, unit: str) -> Measured:
    """The mean of independent numbers ± 1.96 standard errors; the floor is real's."""
    value = float(np.mean(values))
    reach = 1.96 * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    ground = float(np.mean(real))
    return Measured(value, ground, value - reach, value + reach, len(values), unit)
