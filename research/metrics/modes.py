"""How many of the equally likely classes a generator reaches, and how evenly.

The protocol of VEEGAN (Srivastava 2017) and PacGAN (Lin 2018) on stacked digits: each
sample is given a class by a classifier; a class with at least one sample is a captured
mode; the samples' class histogram is compared with the uniform one by
KL(histogram ‖ uniform), in nats. KL alone cannot see missing modes at small sample
sizes, and the count alone is flattered by a classifier's mistakes: so both are given,
and the count of classes with at least five samples as well.

A perfect generator does not score 0: E[KL] ≈ (modes − 1) / (2 samples), 0.0192 at
26,000 draws of 1,000 modes (0.0194 simulated).
"""

from typing import NamedTuple

import numpy as np

from research.metrics.measured import Measured, interval

MODES = 1_000  # of three stacked digits
WELL_COVERED = 5  # samples that a classifier's mistakes seldom bring together
REPLICATES = 400


class Coverage(NamedTuple):
    """The three numbers of one histogram, or of many (then each is an array)."""

    captured: np.ndarray  # modes with at least one sample
    well_covered: np.ndarray  # modes with at least five
    kl: np.ndarray  # KL(histogram ‖ uniform), nats


def histogram(labels: np.ndarray, modes: int = MODES) -> np.ndarray:
    """Samples in each mode, int [modes].

    Raises:
      ValueError: no labels, or one outside [0, modes).
    """
    labels = np.asarray(labels)
    if labels.size == 0:
        raise ValueError("no samples, so no modes can be counted")
    if labels.min() < 0 or labels.max() >= modes:
        raise ValueError(
            f"labels go from {labels.min()} to {labels.max()}, outside [0, {modes})"
        )
    return np.bincount(labels, minlength=modes)


def coverage(counts: np.ndarray) -> Coverage:
    """The three numbers of histograms [..., modes]; 0 log 0 = 0."""
    counts = np.asarray(counts)
    share = counts / counts.sum(axis=-1, keepdims=True)
    logs = np.log(share * counts.shape[-1], where=counts > 0, out=np.zeros(share.shape))
    return Coverage(
        captured=(counts > 0).sum(axis=-1),
        well_covered=(counts >= WELL_COVERED).sum(axis=-1),
        kl=(share * logs).sum(axis=-1),
    )


def expected_kl(samples: int, modes: int = MODES) -> float:
    """E[KL] of a perfect generator to first order in 1/samples (Miller 1955), nats."""
    return (modes - 1) / (2 * samples)


def perfect(samples: int, modes: int = MODES, seed: int = 0) -> Coverage:
    """Mean coverage of 400 simulated perfect generators of that many draws."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(samples, np.full(modes, 1 / modes), size=REPLICATES)
    return Coverage(*(np.asarray(numbers.mean()) for numbers in coverage(counts)))


def measure(
    labels: np.ndarray, real_labels: np.ndarray, modes: int = MODES, seed: int = 0
) -> dict[str, Measured]:
    """Coverage of a generator's labels, with floors and bootstrap intervals.

    The bootstrap draws the labels again with replacement, which is one multinomial
    draw of the histogram: 400 of them take some 0.1 s.

    Args:
      labels: [samples], the class of each generated example.
      real_labels: [samples], the class that the same classifier gives to as many real
        examples: the floor, with the classifier's mistakes in it.
      modes: number of equally likely classes.
      seed: of the bootstrap.

    Raises:
      ValueError: the two numbers of samples differ, or a label is out of range.
    """
    if len(labels) != len(real_labels):
        raise ValueError(
            f"the floor needs as many real labels as generated ones: "
            f"{len(real_labels)} against {len(labels)}"
        )
    counts = histogram(labels, modes)
    value, floor = coverage(counts), coverage(histogram(real_labels, modes))
    rng = np.random.default_rng(seed)
    draws = coverage(
        rng.multinomial(len(labels), counts / len(labels), size=REPLICATES)
    )
    ranges = {"captured": (1, modes), "well_covered": (0, modes), "kl": (0, np.inf)}
    units = {"captured": f"of {modes:,}", "well_covered": f"of {modes:,}", "kl": "nats"}

    def measured(name: str) -> Measured:
        number = float(getattr(value, name))
        low, high = interval(number, getattr(draws, name), *ranges[name])
        ground = float(getattr(floor, name))
        return Measured(number, ground, low, high, len(labels), units[name])

    return {
        "modes_captured": measured("captured"),
        "modes_with_5": measured("well_covered"),
        "kl_to_uniform": measured("kl"),
    }
