"""Texts: what predicts one without a network, and how alike two sets of them are.

A text is bytes. Samples of a model have no likelihood in common (a GAN has none), so
sets of texts are compared by their n-grams: the share of one set's n-grams that the
other has, both ways (a precision and a recall), and self-BLEU (Zhu 2018, "Texygen"),
how much each text repeats the others of its set. All are read beside what real text
scores at the same sample size.
"""

import lzma
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from research.metrics.measured import Measured, interval

ORDER = 4  # bytes of the n-grams that are compared
SELF_TEXTS = 100  # texts of a set that self-BLEU compares
BLEU_ORDERS = (2, 3, 4, 5)
REPLICATES = 50  # bootstrap resamples for an interval


def memoryless(train: np.ndarray, held_out: np.ndarray) -> dict[str, Measured]:
    """Bits a held-out byte of predictors that are counted and not trained.

    unigram_bits, bigram_bits: frequencies of the training text, each count one more
    (Laplace). xz_bits: the bytes that the held-out text adds to the training text's
    xz file.
    """
    pairs = np.ones((256, 256))
    np.add.at(pairs, (train[:-1], train[1:]), 1)
    single = np.bincount(train, minlength=256) + 1.0
    unigram = -np.log2(single / single.sum())[held_out]
    bigram = -np.log2(pairs / pairs.sum(1, keepdims=True))
    added = _packed(np.concatenate([train, held_out])) - _packed(train)
    found = {
        "unigram_bits": unigram.mean(),
        "bigram_bits": bigram[held_out[:-1], held_out[1:]].mean(),
        "xz_bits": 8 * added / len(held_out),
    }
    samples = len(held_out)
    return {
        name: Measured(float(value), samples=samples, unit="bits a byte")
        for name, value in found.items()
    }


def score(
    generated: np.ndarray, reference: np.ndarray, again: np.ndarray
) -> dict[str, Measured]:
    """Generated texts beside real ones; the floor is what real training texts score.

    Args:
      generated, reference, again: uint8 or int [texts, bytes]; real held-out texts, and
        real training ones.

    Returns:
      ngram_precision: share of the generated 4-grams that occur in the reference;
      ngram_recall: share of the reference's 4-grams that occur in the generated;
      self_bleu: 1 where all texts are alike.
    """
    count = min(map(len, (generated, reference, again)))
    length = min(texts.shape[1] for texts in (generated, reference, again))
    sets = [_texts(t[:count, :length]) for t in (generated, reference, again)]
    made, real, training = sets
    unit = "share"
    return {
        "ngram_precision": _shared(made, real, training, real, unit),
        "ngram_recall": _shared(real, made, real, training, unit),
        "self_bleu": Measured(
            self_bleu(made),
            self_bleu(training),
            samples=min(count, SELF_TEXTS),
            unit=unit,
        ),
    }


def overlap(texts: Sequence[bytes], others: Sequence[bytes], order: int) -> np.ndarray:
    """Share of each text's n-grams that occur anywhere in `others`, [texts]."""
    known = set().union(*(_ngrams(text, order) for text in others))
    return np.array(
        [
            sum(n for gram, n in found.items() if gram in known) / sum(found.values())
            for found in (_ngrams(text, order) for text in texts)
        ]
    )


def self_bleu(texts: Sequence[bytes]) -> float:
    """Mean BLEU of each text against all others of the set, of bytes, orders 2 to 5.

    All texts have one length, so that there is no brevity penalty. Orders without a
    match count a half one (Chen and Cherry 2014, smoothing of NIST kind).
    """
    texts = list(texts[:SELF_TEXTS])
    if len(texts) < 2:
        return math.nan
    logs = np.zeros(len(texts))
    for order in BLEU_ORDERS:
        counts = [_ngrams(text, order) for text in texts]
        logs += np.log(_clipped(counts)) / len(BLEU_ORDERS)
    return float(np.exp(logs).mean())


def _clipped(counts: list[Counter]) -> np.ndarray:
    """BLEU's modified precision of each bag against the others, [texts]."""
    most: Counter = Counter()  # the largest count of each n-gram, and the next one
    second: Counter = Counter()
    for found in counts:
        for gram, n in found.items():
            if n > most[gram]:
                most[gram], second[gram] = n, most[gram]
            elif n > second[gram]:
                second[gram] = n
    shares = []
    for found in counts:
        matched = sum(
            min(n, second[gram] if n == most[gram] else most[gram])
            for gram, n in found.items()
        )
        shares.append(max(matched, 0.5) / sum(found.values()))
    return np.array(shares)


def _shared(texts, others, floor_texts, floor_others, unit: str) -> Measured:
    each = overlap(texts, others, ORDER)
    floor = float(overlap(floor_texts, floor_others, ORDER).mean())
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(each), size=(REPLICATES, len(each)))
    low, high = interval(float(each.mean()), each[drawn].mean(1), 0, 1)
    return Measured(float(each.mean()), floor, low, high, len(each), unit)


def _texts(samples: np.ndarray) -> list[bytes]:
    return [text.tobytes() for text in np.asarray(samples).astype(np.uint8)]


def _ngrams(text: bytes, order: int) -> Counter:
    return Counter(text[i : i + order] for i in range(len(text) - order + 1))


def _packed(text: np.ndarray) -> int:
    return len(lzma.compress(text.tobytes()))
