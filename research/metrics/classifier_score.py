"""The classifier score: how surely and how variedly a classifier names the samples.

    exp( mean over samples of KL( p(class | sample) ‖ p(class) ) )

from 1 to the number of classes (Salimans 2016, who took Inception and called it by that
name; the number depends wholly on the classifier, so this one goes under its own).
A generator of one sharp example of each class scores full marks, so it says nothing of
variety within a class (Barratt and Sharma 2018).
"""

import numpy as np

from research.metrics.measured import Measured, interval

REPLICATES = 200


def score(probabilities: np.ndarray) -> float:
    """The score of p(class | sample), [samples, classes]; 0 log 0 = 0."""
    p = np.asarray(probabilities, np.float64)
    return float(np.exp(_entropy(p.mean(axis=0)) - _entropy(p).mean()))


def joint(probabilities: np.ndarray) -> np.ndarray:
    """p of all combinations of parts: [samples, parts, classes] → [samples, classesᵖ].

    The parts of a sample are named one by one, so their probabilities multiply.
    """
    p = np.asarray(probabilities, np.float64)
    found = p[:, 0]
    for part in range(1, p.shape[1]):
        found = (found[:, :, None] * p[:, part, None, :]).reshape(len(p), -1)
    return found


def measure(probabilities: np.ndarray, again: np.ndarray, seed: int = 0) -> Measured:
    """The score with its floor, what real samples score, and a bootstrap interval.

    Args:
      probabilities: [samples, parts, classes] of the model's draws.
      again: [samples, parts, classes] of as many real ones.
      seed: of the bootstrap.

    Raises:
      ValueError: unequal numbers, or rows that do not sum to 1.
    """
    if probabilities.shape != again.shape:
        raise ValueError(
            f"the floor needs as many real samples as generated ones: {again.shape} "
            f"against {probabilities.shape}"
        )
    if not np.allclose(probabilities.sum(axis=-1), 1, atol=1e-3):
        raise ValueError("probabilities over the classes do not sum to 1")
    p = joint(probabilities)
    entropies, count = _entropy(p), len(p)
    value = float(np.exp(_entropy(p.mean(axis=0)) - entropies.mean()))
    rng = np.random.default_rng(seed)
    # A resample is how often each sample is drawn: one matrix product for all of them.
    weights = rng.multinomial(count, np.full(count, 1 / count), REPLICATES) / count
    replicates = np.exp(_entropy(weights @ p) - weights @ entropies)
    low, high = interval(value, replicates, 1, p.shape[1])
    unit = f"of {p.shape[1]:,}"
    return Measured(value, score(joint(again)), low, high, count, unit)


def _entropy(p: np.ndarray) -> np.ndarray:
    """Nats, over the last axis."""
    logs = np.log(p, where=p > 0, out=np.zeros_like(p))
    return -(p * logs).sum(axis=-1)
