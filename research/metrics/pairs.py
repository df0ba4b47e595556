"""Pairs of samples, by whose differences a set shows whether it has collapsed."""

import numpy as np


def random_pairs(samples: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The firsts and the seconds of disjoint random pairs: [samples // 2, …] each."""
    order = np.random.default_rng(seed).permutation(len(samples))
    half = len(samples) // 2
    return samples[order[:half]], samples[order[half : 2 * half]]
