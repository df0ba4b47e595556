"""What sequences share with real ones, in words: n-grams of texts and of music."""

from research.metrics.measured import Measured
from research.reports.numbers import brief
from research.reports.runs import Run

# Metrics that open a page, and what they are shares of; the first that was measured.
OPENING = {
    "known_words": "words occur in real text",
    "progression_precision": "progressions occur in real music",
    "ngram_precision": "4-grams occur in real text",
}
# What a run shares with real data: of its own, and of theirs.
SHARED = (
    ("known_words", "{} of its words occur in real text"),
    ("ngram_precision", "{} of its 4-grams do"),
    ("ngram_recall", "it has {} of the real ones"),
    ("progression_precision", "{} of its progressions of two frames are real ones"),
    ("progression_recall", "it has {} of the real ones"),
)
REPEATS = 1.1  # times the real self-BLEU, from which repetition is spoken of


def headline(runs: list[Run]) -> str | None:
    """The page's first sentence; None where nothing of the kind was measured."""
    for name, what in OPENING.items():
        found = [(run, run.metrics[name]) for run in runs if name in run.metrics]
        if not found:
            continue
        found.sort(key=lambda pair: -pair[1].value)
        (best, first), *others = found
        told = f"Of what {best.name} drew, {_percent(first)} of the {what}"
        told += "".join(f", of {run.name}'s {_percent(m)}" for run, m in others)
        without = [run.name for run in runs if name not in run.metrics]
        told += "".join(f"; {other} drew none" for other in without)
        floor = first.floor
        return told if floor is None else f"{told} (of real data {_share(floor)})"
    return None


def finding(run: Run) -> str:
    """What a run shares with real data, and whether it repeats itself."""
    told = [
        sentence.format(_percent(found)) + _real(found)
        for name, sentence in SHARED
        if (found := run.metrics.get(name)) is not None
    ]
    repeats = run.metrics.get("self_bleu")
    if repeats is not None and repeats.floor:
        alike = "it repeats itself more than real data"
        if repeats.value < REPEATS * repeats.floor:
            alike = "it repeats itself no more than real data"
        told.append(
            f"{alike} (self-BLEU {repeats.value:.2f}, real {repeats.floor:.2f})"
        )
    return f"{run.name}: {'; '.join(told)}." if told else ""


def _percent(measured: Measured) -> str:
    return _share(measured.value)


def _real(measured: Measured) -> str:
    return "" if measured.floor is None else f" (real data: {_share(measured.floor)})"


def _share(value: float) -> str:
    return f"{brief(100 * value)}\u00a0%"
