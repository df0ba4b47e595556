"""Music in frames: what predicts it without a network, and how alike two sets are.

The cost of a frame, −log p of all its keys in nats, is averaged in two ways. Chung 2014
takes all frames, a mean of each piece and the mean of those; Bai 2018 leaves the first
frame of a piece out and divides by the number of all others. Both are told.
"""

import math
from collections.abc import Sequence

import numpy as np

from research.metrics import frechet
from research.metrics.measured import Measured, interval, mean, mean_beside
from research.metrics.pairs import random_pairs
from research.metrics.text import SELF_TEXTS, self_bleu

UNIT = "nats a frame"
REPLICATES = 200  # bootstrap resamples of pieces for an interval
ORDER = 2  # frames of the progressions that are compared


def likelihood(
    first: np.ndarray, later: np.ndarray, lengths: np.ndarray
) -> dict[str, Measured]:
    """The cost of pieces by both averages, with intervals over pieces.

    Args:
      first: [pieces], nats of each piece's first frame.
      later: [pieces], nats of all its others together.
      lengths: [pieces], frames, 2 or more.

    Returns:
      frame_nats_chung, frame_nats_bai.
    """
    first, later = first.astype(np.float64), later.astype(np.float64)
    others = lengths.astype(np.float64) - 1
    rows = np.random.default_rng(0).integers(len(later), size=(REPLICATES, len(later)))
    bai = float(later.sum() / others.sum())
    low = high = math.nan  # one piece does not tell how far another would move it
    if len(later) > 1:
        low, high = interval(bai, later[rows].sum(1) / others[rows].sum(1), 0)
    return {
        "frame_nats_chung": mean((first + later) / (others + 1), UNIT),
        "frame_nats_bai": Measured(bai, None, low, high, len(later), UNIT),
    }


def memoryless(
    train: Sequence[np.ndarray], held_out: Sequence[np.ndarray]
) -> dict[str, Measured]:
    """Each key by itself, as often as in the training frames, each count one more.

    Args:
      train, held_out: pieces, bool [frames, keys].

    Returns:
      marginal_nats_chung, marginal_nats_bai: what a model has to beat.
    """
    frames = np.concatenate(train)
    share = (frames.sum(0) + 1) / (len(frames) + 2)
    costs = [-np.log(np.where(piece, share, 1 - share)).sum(1) for piece in held_out]
    first = np.array([cost[0] for cost in costs])
    later = np.array([cost[1:].sum() for cost in costs])
    found = likelihood(first, later, np.array([len(cost) for cost in costs]))
    return {name.replace("frame", "marginal"): value for name, value in found.items()}


def score(
    generated: np.ndarray,
    reference: np.ndarray,
    again: np.ndarray,
    blocks: np.ndarray | None = None,
) -> dict[str, Measured]:
    """Generated pieces beside real ones; the floor is what real training pieces score.

    Args:
      generated, reference, again: bool [pieces, frames, keys]; real held-out pieces,
        and real training ones. Silence at a piece's end is left out.
      blocks: of the reference, the pieces that its windows were cut from; see
        `measured.error_of_mean`.

    Returns:
      progression_precision: share of the generated progressions of two frames that
        occur in the reference, in any key; progression_recall: the other way round;
      self_bleu: how much pieces repeat each other, a frame of keys as a symbol (see
        metrics.text); 1 where all are alike;
      music_frechet: distance of `features` taken as Gaussians.
    """
    count = min(map(len, (generated, reference, again)))
    steps = min(pieces.shape[1] for pieces in (generated, reference, again))
    made, real, training = (
        [_without_end(piece) for piece in pieces[:count, :steps].astype(bool)]
        for pieces in (generated, reference, again)
    )
    blocks = None if blocks is None else blocks[:count]
    found = {
        "progression_precision": _shared(made, real, training, real),
        "progression_recall": _shared(real, made, real, training, blocks),
        "self_bleu": Measured(
            self_bleu([chords(piece) for piece in made]),
            self_bleu([chords(piece) for piece in training]),
            samples=min(count, SELF_TEXTS),
            unit="share",
        ),
    }
    if count > len(FEATURES):  # of fewer there is no covariance
        sets = (np.stack([features(p) for p in s]) for s in (made, real, training))
        found["music_frechet"] = frechet.measure(*sets, blocks=blocks)
    return found


FEATURES = (
    *(f"pitch class {number}" for number in range(12)),  # shares of what sounds
    "notes in a frame",
    "mean pitch, octaves",
    "spread of pitches, octaves",
    "notes held from the frame before, share",
    "motion of the highest note, octaves a frame",
)


def features(piece: np.ndarray) -> np.ndarray:
    """What a piece, bool [frames, keys], is like: float64, as FEATURES names them."""
    frame, key = piece.nonzero()
    if not len(key):
        return np.zeros(len(FEATURES))
    classes = np.bincount(key % 12, minlength=12) / len(key)
    held = (piece[1:] & piece[:-1]).sum() / max(piece[1:].sum(), 1)
    top = piece.shape[1] - 1 - piece[:, ::-1].argmax(1)[piece.any(1)]
    motion = np.abs(np.diff(top)).mean() / 12 if len(top) > 1 else 0
    others = (len(frame) / len(piece), key.mean() / 12, key.std() / 12, held, motion)
    return np.array([*classes, *others])


def chords(piece: np.ndarray) -> tuple[bytes, ...]:
    """Each frame as a symbol: the keys that sound."""
    return tuple(np.packbits(frame).tobytes() for frame in piece)


def pair_distances(pieces: np.ndarray, seed: int = 0) -> np.ndarray:
    """Share of keys that differ in disjoint random pairs, [pieces // 2]."""
    first, second = random_pairs(pieces, seed)
    return (first != second).mean(axis=(1, 2))


def progressions(piece: np.ndarray) -> list[bytes]:
    """Each ORDER frames in a row, moved so that their lowest note is the first key."""
    found = []
    for start in range(len(piece) - ORDER + 1):
        frames = piece[start : start + ORDER]
        lowest = int(frames.any(0).argmax())
        found.append(np.packbits(np.roll(frames, -lowest, axis=1), axis=1).tobytes())
    return found


def _shared(pieces, others, floor_pieces, floor_others, blocks=None) -> Measured:
    """Share of each piece's progressions that occur anywhere in others."""

    def shares(pieces, others):
        known = {one for piece in others for one in progressions(piece)}
        found = [[one in known for one in progressions(piece)] for piece in pieces]
        return np.array([np.mean(each) if each else 0.0 for each in found])

    floors = shares(floor_pieces, floor_others)
    return mean_beside(shares(pieces, others), floors, "share", blocks)


def _without_end(piece: np.ndarray) -> np.ndarray:
    """A piece without the silence after its last note."""
    sounding = np.flatnonzero(piece.any(1))
    return piece[: sounding[-1] + 1] if len(sounding) else piece[:1]
