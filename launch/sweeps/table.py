"""What came of a sweep: mean, spread and rank of every setting, and a picture."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from launch.sweeps.points import Point, shared
from launch.sweeps.running import verdict
from research.errors import UserError
from research.parts import suggestion
from research.reports.numbers import number
from research.reports.table import KINDS
from research.training.files import write_json, write_text


class Row(NamedTuple):
    """One setting, over its seeds."""

    name: str
    setting: dict[str, str]
    values: list[float]  # of the metric, one for each seed that is done
    diverged: int
    missing: int
    mean: float | None
    spread: float | None  # standard deviation over seeds; None of fewer than two
    rank: int | None  # 1 is best


def rows(found: Sequence[Point], folder: Path, metric: str, better: int) -> list[Row]:
    """The table, best first; settings without a value last."""
    made = []
    for setting, group in shared(found).items():
        ends = [verdict(folder / point.name) for point in group]
        values = [
            value
            for point, end in zip(group, ends, strict=True)
            if end == "done"
            and (value := _metrics(folder / point.name).get(metric)) is not None
        ]
        made.append(
            Row(
                ", ".join(f"{f} {v}" for f, v in setting) or "as it is",
                dict(setting),
                values,
                ends.count("nan"),
                ends.count(None),
                statistics.fmean(values) if values else None,
                statistics.stdev(values) if len(values) > 1 else None,
                None,
            )
        )
    have = sorted(
        (r for r in made if r.mean is not None), key=lambda r: -better * (r.mean or 0)
    )
    ranked = [row._replace(rank=place) for place, row in enumerate(have, 1)]
    return ranked + [row for row in made if row.mean is None]


def choose_metric(
    found: Sequence[Point], folder: Path, wanted: str | None
) -> tuple[str, int] | None:
    """The metric to rank by, and 1 where more of it is better; None: none is done.

    Raises:
      UserError: no run has the one that is wanted.
    """
    names: dict[str, None] = {}
    for point in found:
        names |= dict.fromkeys(_metrics(folder / point.name))
    if not names:
        return None
    if wanted is not None and wanted not in names:
        raise UserError(f"--metric {wanted}{suggestion(wanted, list(names))}")
    ranked = [name for name in names if name in KINDS and KINDS[name].better]
    chosen = wanted or (ranked or list(names))[0]
    # What is not known to be better upwards is taken for a loss.
    better = KINDS[chosen].better if chosen in KINDS else 0
    return chosen, better or -1


def lines(made: Sequence[Row], metric: str, better: int) -> list[str]:
    """The table as Markdown, which reads well on a terminal too."""
    way = "more" if better > 0 else "less"
    text = [
        f"| rank | setting | {metric} ({way} is better) | spread | seeds | diverged |",
        "|---|---|---|---|---|---|",
    ]
    for row in made:
        cells = (
            str(row.rank or ""),
            row.name,
            "" if row.mean is None else number(row.mean),
            "" if row.spread is None else number(row.spread),
            str(len(row.values)) + (f", {row.missing} missing" if row.missing else ""),
            str(row.diverged),
        )
        text.append(f"| {' | '.join(cells)} |")
    return text


def write(made: Sequence[Row], folder: Path, metric: str, better: int) -> Path:
    """sweep.json, sweep.md and sweep.png; returns the last."""
    about: dict[str, Any] = {
        "metric": metric,
        "better": "more" if better > 0 else "less",
    }
    write_json(folder / "sweep.json", about | {"rows": [r._asdict() for r in made]})
    text = "\n".join(lines(made, metric, better))
    write_text(folder / "sweep.md", f"{text}\n\n![{metric}](sweep.png)\n")
    return _draw(made, folder / "sweep.png", metric, better)


def _draw(made: Sequence[Row], path: Path, metric: str, better: int) -> Path:
    from matplotlib.figure import Figure

    shown = [row for row in made if row.values][::-1]
    figure = Figure(figsize=(7, 1.2 + 0.4 * max(len(shown), 1)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(shown):
        assert row.mean is not None
        axes.errorbar(
            row.mean, place, xerr=row.spread, fmt="o", color="C0", capsize=3, zorder=3
        )
        axes.plot(row.values, [place] * len(row.values), "|", color="0.4", zorder=2)
    axes.set_yticks(range(len(shown)), [row.name for row in shown])
    axes.set_ylim(-0.6, max(len(shown), 1) - 0.4)
    axes.set_xlabel(f"{metric} ({'more' if better > 0 else 'less'} is better)")
    axes.set_title("mean and standard deviation; a line is a seed", fontsize=9)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=120)
    return path


def _metrics(workdir: Path) -> dict[str, float]:
    try:
        summary = json.loads((workdir / "summary.json").read_text())
    except (OSError, ValueError):
        return {}
    found = summary.get("metrics", {})
    return {n: m["value"] for n, m in found.items() if m["value"] is not None}
