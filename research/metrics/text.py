"""Texts: what predicts one without a network, and how alike two sets of them are.

A text is bytes. Samples of a model have no likelihood in common (a GAN has none), so
sets of texts are compared by their n-grams, both ways: the share of one set's n-grams
that the other has, and BLEU (Papineni 2002) of each text with the whole other set as
its references, forwards and backwards (Shi 2018); by self-BLEU (Zhu 2018, "Texygen"),
how much each text repeats the others of its set; by a distance of byte pairs' counts;
and by the words that occur in real text. All are read beside what real text scores at
the same sample size.
"""

import lzma
import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from research.metrics import frechet
from research.metrics.measured import Measured, interval, mean, mean_beside

Symbols = bytes | tuple  # a text; parts of it can be counted
ORDER = 4  # bytes of the n-grams that are compared
SELF_TEXTS = 100  # texts of a set that self-BLEU compares
BLEU_TEXTS = 200  # texts of either set that BLEU compares
PAIRS = 64  # commonest pairs of bytes, whose counts are a text's features
WORD = re.compile(rb"(?<=[^A-Za-z])[A-Za-z]+(?=[^A-Za-z])")  # none that an end may cut
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
      bleu_forward: BLEU of a generated text among the reference's;
      bleu_backward: BLEU of a reference text among the generated;
      self_bleu: 1 where all texts are alike;
      known_words: share of the generated words that occur in the reference; left out
        where there are none;
      pair_frechet: Fréchet distance of `pair_counts`; left out of too few texts.
    """
    count = min(map(len, (generated, reference, again)))
    length = min(texts.shape[1] for texts in (generated, reference, again))
    sets = [_texts(t[:count, :length]) for t in (generated, reference, again)]
    made, real, training = sets
    unit = "share"
    found = {
        "ngram_precision": _shared(made, real, training, real, unit),
        "ngram_recall": _shared(real, made, real, training, unit),
        "bleu_forward": mean_beside(bleu(made, real), bleu(training, real), unit),
        "bleu_backward": mean_beside(bleu(real, made), bleu(real, training), unit),
        "self_bleu": Measured(
            self_bleu(made),
            self_bleu(training),
            samples=min(count, SELF_TEXTS),
            unit=unit,
        ),
    }
    words = known_words(made, real)
    if len(words) > 1:
        floor = float(known_words(training, real).mean())
        found["known_words"] = mean(words, unit)._replace(floor=floor)
    if count > PAIRS:
        pairs = common_pairs(real)
        found["pair_frechet"] = frechet.measure(*(pair_counts(t, pairs) for t in sets))
    return found


def diversity(texts: np.ndarray) -> float:
    """Distinct 4-grams of a set over all of them: 1 where nothing comes twice."""
    bags = [_ngrams(text, ORDER) for text in _texts(texts)]
    return len(set().union(*bags)) / max(sum(bag.total() for bag in bags), 1)


def known_words(texts: Sequence[bytes], others: Sequence[bytes]) -> np.ndarray:
    """Whether each whole word of `texts` occurs in `others`: 0 or 1, [words]."""
    known = {word for text in others for word in WORD.findall(text)}
    words = [word for text in texts for word in WORD.findall(text)]
    return np.array([word in known for word in words], np.float64)


def common_pairs(texts: Sequence[bytes]) -> list[bytes]:
    """The PAIRS commonest pairs of bytes, ties in the order of the bytes."""
    counts = Counter(text[i : i + 2] for text in texts for i in range(len(text) - 1))
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:PAIRS]


def pair_counts(texts: Sequence[bytes], pairs: Sequence[bytes]) -> np.ndarray:
    """How often each pair stands in each text, float64 [texts, pairs]."""
    found = [_ngrams(text, 2) for text in texts]
    return np.array([[one[pair] for pair in pairs] for one in found], np.float64)


def overlap(texts: Sequence[bytes], others: Sequence[bytes], order: int) -> np.ndarray:
    """Share of each text's n-grams that occur anywhere in `others`, [texts]."""
    known = set().union(*(_ngrams(text, order) for text in others))
    return np.array(
        [
            sum(n for gram, n in found.items() if gram in known) / sum(found.values())
            for found in (_ngrams(text, order) for text in texts)
        ]
    )


def bleu(texts: Sequence[bytes], references: Sequence[bytes]) -> np.ndarray:
    """BLEU of each text with all references, of bytes, orders 2 to 5: [texts].

    All texts have one length, so that there is no brevity penalty. Orders without a
    match count a half one (Chen and Cherry 2014, smoothing of NIST kind). Of either set
    the first BLEU_TEXTS count.
    """
    texts, references = texts[:BLEU_TEXTS], references[:BLEU_TEXTS]
    return _bleu([_precisions(texts, references, order) for order in BLEU_ORDERS])


def self_bleu(texts: Sequence[Symbols]) -> float:
    """Mean BLEU of each text against all others of the set, of the first 100.

    A text is bytes, or a tuple of any symbols.
    """
    texts = list(texts[:SELF_TEXTS])
    if len(texts) < 2:
        return math.nan
    each = [_clipped([_ngrams(t, order) for t in texts]) for order in BLEU_ORDERS]
    return float(_bleu(each).mean())


def _bleu(precisions: Sequence[np.ndarray]) -> np.ndarray:
    """The geometric mean over the orders."""
    return np.exp(np.mean(np.log(precisions), axis=0))


def _precisions(texts, references, order: int) -> np.ndarray:
    """BLEU's modified precision of each text against the references, [texts]."""
    most: Counter = Counter()
    for found in (_ngrams(text, order) for text in references):
        for gram, n in found.items():
            most[gram] = max(most[gram], n)
    bags = [_ngrams(text, order) for text in texts]
    matched = [sum(min(n, most[gram]) for gram, n in bag.items()) for bag in bags]
    return np.maximum(matched, 0.5) / [bag.total() for bag in bags]


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
        shares.append(max(matched, 0.5) / max(found.total(), 1))  # 0 of a short one
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


def _ngrams(text: Symbols, order: int) -> Counter:
    return Counter(text[i : i + order] for i in range(len(text) - order + 1))


def _packed(text: np.ndarray) -> int:
    return len(lzma.compress(text.tobytes()))
