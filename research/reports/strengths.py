"""Which run is best at what: the short answer of a comparison."""

from collections.abc import Callable

from research.reports.numbers import listing
from research.reports.runs import Run
from research.reports.table import best_places

# Exact costs of held-out data: their unit, and what it is for.
LIKELIHOODS = {
    "bits_per_pixel": ("bits", "pixel"),
    "bits_per_byte": ("bits", "byte"),
    "frame_nats_chung": ("nats", "frame"),
    "step_nats": ("nats", "step"),
}
CLOSE = 1.15  # a ratio of two times or sizes below this is told as a draw


def strengths(runs: list[Run]) -> tuple[str, ...]:
    """A line for each run: `a: most classes and nearest to real pictures.`"""
    if len(runs) < 2:
        return ()
    won: dict[str, list[str]] = {run.name: [] for run in runs}
    for words, name, better in METRICS:
        places = best_places([run.metrics.get(name) for run in runs], better)
        _award(won, words, [runs[place].name for place in places])
    for words, cost in COSTS:
        costs = {run.name: value for run in runs if (value := cost(run)) is not None}
        least = min(costs.values(), default=0)
        near = [name for name, value in costs.items() if value < CLOSE * least]
        if len(costs) > 1:
            _award(won, words, near)
    exact = [run.name for run in runs if LIKELIHOODS.keys() & run.metrics.keys()]
    if len(exact) == 1:
        won[exact[0]].append("the only exact likelihood")
    return tuple(f"{name}: {listing(words)}." for name, words in won.items() if words)


def _award(won: dict[str, list[str]], words: str, names: list[str]) -> None:
    for name in names:
        level = listing([other for other in names if other != name])
        won[name].append(f"{words} (level with {level})" if level else words)


def _step_seconds(run: Run) -> float | None:
    pace = run.summary.get("step_seconds")
    return pace["median"] if pace else None


def _parameters(run: Run) -> float | None:
    return sum(run.summary.get("parameters", {}).values()) or None


METRICS = (
    ("most classes", "modes_captured", 1),
    ("most even use of them", "kl_to_uniform", -1),
    ("nearest to real pictures", "digit_frechet", -1),
    ("nearest to real pictures", "pixel_frechet", -1),
    ("nearest to real pictures", "inception_frechet", -1),
    ("most accurate", "accuracy", 1),
    ("most real words", "known_words", 1),
    ("most real 4-grams", "ngram_precision", 1),
    ("most of what real text has", "ngram_recall", 1),
    ("nearest to real texts", "pair_frechet", -1),
    ("most real progressions", "progression_precision", 1),
    ("most of what real music has", "progression_recall", 1),
    ("nearest to real music", "music_frechet", -1),
    ("nearest to real series", "series_frechet", -1),
)
COSTS: tuple[tuple[str, Callable[[Run], float | None]], ...] = (
    ("fastest to draw", lambda run: run.summary.get("draw_seconds")),
    ("shortest training step", _step_seconds),
    ("fewest parameters", _parameters),
)
