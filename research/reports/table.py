"""The table of a report: one row for each measured thing, one column for each run."""

from collections.abc import Callable
from typing import Any, NamedTuple

from research.metrics.measured import Measured
from research.reports.kinds import KINDS, Kind
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
