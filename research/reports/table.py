"""The table of a report: one row for each measured thing, one column for each run."""

from collections.abc import Callable
from typing import Any, NamedTuple

from research.metrics.measured import Measured
from research.reports.numbers import duration, number, span
from research.reports.runs import Run


class Cell(NamedTuple):
    """What one run shows in one row."""

    value: str  # "–" where the run has none
    interval: str = ""
    floor: str = ""
    samples: str = ""
    best: bool = False


class Row(NamedTuple):
    """One measured thing."""

    name: str
    note: str  # what it is, its unit, and which way is better
    cells: list[Cell]


class Kind(NamedTuple):
    """What is known of a metric by its name."""

    title: str
    note: str
    better: int  # 1: more is better, −1: less is, 0: neither by itself


# Metrics of other names get a row with their own name and unit.
KINDS = {
    "modes_captured": Kind("Classes drawn", "at least once; more is better", 1),
    "modes_with_5": Kind("Classes drawn five times", "or more; more is better", 1),
    "kl_to_uniform": Kind("KL to uniform", "of the classes, nats; less is better", -1),
    "digit_frechet": Kind(
        "Digit-feature Fréchet distance", "squared feature units; less is better", -1
    ),
    "digit_kernel": Kind(
        "Digit-feature kernel distance",
        "unbiased, about 0 for real; less is better",
        -1,
    ),
    "pixel_frechet": Kind(
        "Pixel Fréchet distance", "squared, pixels in [0, 1]; less is better", -1
    ),
    "pixel_kernel": Kind(
        "Pixel kernel distance", "unbiased, about 0 for real; less is better", -1
    ),
    "inception_frechet": Kind(
        "FID", "against held-out pictures, not training ones; less is better", -1
    ),
    "inception_kernel": Kind(
        "KID", "unbiased, about 0 for real, not times 1,000; less is better", -1
    ),
    "high_quality": Kind(
        "High-quality samples", "share within 3 σ of a mode; more is better", 1
    ),
    "precision": Kind(
        "Precision", "share among real ones (3 neighbours); more is better", 1
    ),
    "recall": Kind("Recall", "share of real ones among the drawn; more is better", 1),
    "density": Kind("Density", "real balls around a drawn one, over 5; 1 for real", 0),
    "coverage": Kind(
        "Coverage", "share of real balls with a drawn one; more is better", 1
    ),
    "copying": Kind(
        "Copying test", "½: as far from training data as held-out; 1: copies", 0
    ),
    "nearest_training": Kind(
        "Nearest training example", "mean distance in the same features", 0
    ),
    "pair_distance": Kind("Difference of two samples", "mean of random pairs", 0),
    "classifier_score": Kind(
        "Classifier score", "sure and varied by the classifier; more is better", 1
    ),
    "confidence": Kind("Classifier's confidence", "mean top probability", 0),
    "known_words": Kind(
        "Words that real text has", "share of whole words drawn; more is better", 1
    ),
    "ngram_precision": Kind(
        "Drawn 4-grams that real text has", "share; more is better", 1
    ),
    "ngram_recall": Kind(
        "Real 4-grams that were drawn too", "share; more is better", 1
    ),
    "bleu_forward": Kind(
        "BLEU of drawn texts", "real ones as references; more is better", 1
    ),
    "bleu_backward": Kind(
        "BLEU of real texts", "drawn ones as references; more is better", 1
    ),
    "self_bleu": Kind("Self-BLEU", "drawn ones among each other; 1: all alike", 0),
    "pair_frechet": Kind(
        "Byte-pair Fréchet distance",
        "counts of the 64 commonest pairs; less is better",
        -1,
    ),
    "progression_precision": Kind(
        "Drawn progressions that real music has",
        "two frames, in any key, share; more is better",
        1,
    ),
    "progression_recall": Kind(
        "Real progressions that were drawn too", "share; more is better", 1
    ),
    "music_frechet": Kind(
        "Musical-feature Fréchet distance",
        "keys, density, register, motion; less is better",
        -1,
    ),
    "series_frechet": Kind(
        "Fréchet distance of whole series", "squared units; less is better", -1
    ),
    "value_distance": Kind(
        "Distance of the values", "Wasserstein-1, units of the data; less is better", -1
    ),
    "change_distance": Kind(
        "Distance of the changes", "of a step, Wasserstein-1; less is better", -1
    ),
    "forecast_error": Kind(
        "Real forecast learnt from drawn",
        "mean error, units of the data; less is better",
        -1,
    ),
    "bits_per_byte": Kind("Held-out likelihood", "bits a byte; less is better", -1),
    "bits_per_pixel": Kind("Held-out likelihood", "bits a pixel; less is better", -1),
    "frame_nats_chung": Kind(
        "Held-out frame, mean of pieces", "nats, as Chung 2014; less is better", -1
    ),
    "frame_nats_bai": Kind(
        "Held-out frame but the first", "nats, as Bai 2018; less is better", -1
    ),
    "step_nats": Kind(
        "Held-out step", "nats, density in units of the data; less is better", -1
    ),
    "gaussian_nats": Kind("… by one Gaussian of all steps", "nats", 0),
    "persistence_nats": Kind("… by the step before and noise", "nats", 0),
    "accuracy": Kind("Held-out accuracy", "share; more is better", 1),
    "last_step_accuracy": Kind("… at the last step", "share; more is better", 1),
    "recalled": Kind("Symbols recalled", "share of ten; more is better", 1),
    "exact": Kind("Whole sequences right", "share; more is better", 1),
    "squared_error": Kind("Held-out squared error", "less is better", -1),
    "loss": Kind("Held-out loss", "nats a target; less is better", -1),
}


def table(runs: list[Run]) -> list[Row]:
    """Rows with at least one number: metrics first, then costs."""
    known = [name for name in KINDS if any(name in run.metrics for run in runs)]
    other = [n for run in runs for n in run.metrics if n not in KINDS]
    rows = [_metric_row(name, runs) for name in [*known, *dict.fromkeys(other)]]
    costs = [_cost_row(title, note, cell, runs) for title, note, cell in COSTS]
    filled = [row for row in costs if any(cell.value != "–" for cell in row.cells)]
    return rows + filled


def _metric_row(name: str, runs: list[Run]) -> Row:
    found = [run.metrics.get(name) for run in runs]
    units = [measured.unit for measured in found if measured is not None]
    kind = KINDS.get(name, Kind(name.replace("_", " "), units[0] if units else "", 0))
    best = best_places(found, kind.better)
    cells = [
        Cell("–") if measured is None else _cell(measured, place in best)
        for place, measured in enumerate(found)
    ]
    sizes = {cell.samples for cell in cells if cell.samples}
    if len(sizes) != 1:
        return Row(kind.title, kind.note, cells)
    # One size for all is told once.
    cells = [cell._replace(samples="") for cell in cells]
    return Row(kind.title, f"{kind.note}; {sizes.pop()} samples", cells)


def _cell(measured: Measured, best: bool) -> Cell:
    low, high = measured.low, measured.high
    return Cell(
        number(measured.value),
        "" if low is None or high is None else _ends(measured, low, high),
        "" if measured.floor is None else number(measured.floor),
        _sizes(measured),
        best,
    )


def _sizes(measured: Measured) -> str:
    """How many samples, and where they differ how many real ones beside them."""
    samples, against = measured.samples, measured.against
    other = f" against {against:,} real" if against not in (0, samples) else ""
    return f"{samples:,}{other}" if samples else ""


def _ends(measured: Measured, low: float, high: float) -> str:
    # A count is a whole number, and so are the ends of its interval.
    if measured.unit.startswith("of ") and measured.value == round(measured.value):
        return f"{low:,.0f} to {high:,.0f}"
    return span(low, high)


def best_places(found: list[Measured | None], better: int) -> set[int]:
    """Places of the best value and of those whose interval reaches it."""
    values = {i: m for i, m in enumerate(found) if m is not None and m.value == m.value}
    if better == 0 or len(values) < 2:
        return set()
    top = max(values.values(), key=lambda measured: better * measured.value)
    return {i for i, measured in values.items() if _reaches(measured, top, better)}


def _reaches(measured: Measured, top: Measured, better: int) -> bool:
    if measured.value == top.value:
        return True
    end = measured.high if better > 0 else measured.low
    start = top.low if better > 0 else top.high
    return end is not None and start is not None and better * (end - start) >= 0


def _cost_row(
    title: str, note: str, cell: Callable[[Run], Cell], runs: list[Run]
) -> Row:
    return Row(title, note, [cell(run) for run in runs])


def _step_seconds(run: Run) -> Cell:
    pace: dict[str, Any] | None = run.summary.get("step_seconds")
    if not pace:
        return Cell("–")
    quartiles = f"{duration(pace['q25'])} to {duration(pace['q75'])}"
    return Cell(duration(pace["median"]), quartiles)


def _draw_seconds(run: Run) -> Cell:
    seconds = run.summary.get("draw_seconds")
    return Cell(duration(seconds)) if seconds else Cell("–")


def _training_seconds(run: Run) -> Cell:
    return Cell(duration(run.summary["seconds"])) if run.summary else Cell("–")


def _parameters(run: Run) -> Cell:
    counts = run.summary.get("parameters", {})
    if not counts:
        return Cell("–")
    split = " + ".join(f"{count:,} {name}" for name, count in counts.items())
    return Cell(f"{sum(counts.values()):,}", split if len(counts) > 1 else "")


def _health(run: Run) -> Cell:
    return Cell(run.summary.get("health", "–").replace("_", " "))


COSTS: tuple[tuple[str, str, Callable[[Run], Cell]], ...] = (
    ("Time of a training step", "median, quartiles over log windows", _step_seconds),
    ("Time to draw 1,000 samples", "median, compilation left out", _draw_seconds),
    ("Training time", "first step to last, compilation included", _training_seconds),
    ("Health", "of the record: collapsed, diverged, D saturated or none", _health),
    ("Training steps", "updates of every network", lambda run: Cell(f"{run.steps:,}")),
    ("Parameters", "trained ones", _parameters),
)
