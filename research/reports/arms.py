"""Seeds of one setting as an arm: how often it holds, in a table and a picture."""

import io
import json
import math
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from research.metrics.measured import Measured
from research.reports.curves import COLOURS, INK, STYLE, inline
from research.reports.numbers import number
from research.reports.runs import Run
from research.reports.table import KINDS, Kind

# What is told of an arm, of those that its runs have, in this order.
TOLD = ("modes_captured", "high_quality", "kl_to_uniform", "digit_frechet")
FILE = "arms.png"


class Arm(NamedTuple):
    """Runs whose settings differ in the seed alone."""

    name: str
    runs: list[Run]

    def values(self, metric: str) -> list[float]:
        """The metric of each run that came to an end."""
        found = [run.metrics.get(metric) for run in self.runs]
        return [m.value for m in found if m is not None and math.isfinite(m.value)]

    @property
    def complete(self) -> int:
        """Runs that reached every mode."""
        found = [run.metrics.get("modes_captured") for run in self.runs]
        return sum(m is not None and m.value >= modes_of(m) for m in found)


class ArmRow(NamedTuple):
    """An arm's line in the table."""

    name: str
    complete: str  # "7 of 10"
    cells: list[tuple[str, str]]  # mean ± standard error, and the worst seed


class Arms(NamedTuple):
    """What a page shows of several arms, or of one."""

    columns: list[str]
    rows: list[ArmRow]
    alt: str
    svg: str
    png: bytes


def grouped(runs: list[Run]) -> list[Arm]:
    """Runs that agree in all but the seed, as arms, in first-seen order."""
    arms: dict[str, list[Run]] = {}
    for run in runs:
        rest = {name: v for name, v in run.config.items() if name != "seed"}
        arms.setdefault(json.dumps([run.claim, rest], sort_keys=True), []).append(run)
    return [Arm(_name(group), group) for group in arms.values()]


def arms_of(runs: list[Run]) -> Arms | None:
    """Table and picture of the arms; None unless one has two finished seeds."""
    arms = grouped(runs)
    if not _several_seeds(arms):
        return None
    metrics = [n for n in TOLD if any(arm.values(n) for arm in arms)]
    rows = [_row(arm, metrics) for arm in arms]
    svg, png = _drawn(arms, metrics)
    alt = "; ".join(f"{row.name}: all modes in {row.complete} seeds" for row in rows)
    columns = [_kind(metric).title for metric in metrics]
    return Arms(columns, rows, alt, inline(svg, alt), png)


def headline(runs: list[Run]) -> str | None:
    """The best and the worst arm in a sentence; None as for `arms_of`."""
    arms = grouped(runs)
    if not _several_seeds(arms):
        return None

    def standing(arm: Arm) -> tuple[float, float]:
        share = arm.complete / len(arm.runs)
        return share, float(np.mean(arm.values("modes_captured") or [0]))

    *others, best = sorted(arms, key=standing)
    told = f"{best.name} reached every mode {_times(best)}"
    return f"{told}, {others[0].name} {_times(others[0])}" if others else told


def modes_of(measured: Measured) -> int:
    """How many modes there are: the unit is "of 1,000"."""
    return int(measured.unit.removeprefix("of ").replace(",", ""))


def _name(runs: list[Run]) -> str:
    """The folder that an arm's runs share, or the experiment that they are of."""
    parents = {str(PurePath(run.name).parent) for run in runs}
    if len(runs) == 1 or len(parents) > 1 or parents == {"."}:
        return runs[0].name if len(runs) == 1 else str(runs[0].summary["experiment"])
    return parents.pop()


def _kind(metric: str) -> Kind:
    plain = {"high_quality": Kind("High quality", "share; more is better", 1)}
    return KINDS.get(metric) or plain[metric]


def _row(arm: Arm, metrics: Iterable[str]) -> ArmRow:
    return ArmRow(
        arm.name,
        f"{arm.complete} of {len(arm.runs)}",
        [_cell(np.array(arm.values(n)), _kind(n).better) for n in metrics],
    )


def _cell(values: np.ndarray, better: int) -> tuple[str, str]:
    if not len(values):
        return "–", "every seed diverged"
    told = number(float(values.mean()))
    if len(values) > 1:
        error = float(values.std(ddof=1)) / math.sqrt(len(values))
        told += f" ± {number(error)}"
    worst = values.min() if better > 0 else values.max()
    return told, f"worst {number(float(worst))}"


def _several_seeds(arms: list[Arm]) -> bool:
    measured = any(arm.values("modes_captured") for arm in arms)
    return measured and max(len(arm.runs) for arm in arms) > 1


def _times(arm: Arm) -> str:
    return f"in {arm.complete} of {len(arm.runs)} seeds"


def _drawn(arms: list[Arm], metrics: list[str]) -> tuple[str, bytes]:
    """A dot for each seed, a line of arms for each of two metrics; SVG and PNG."""
    style: dict[Any, Any] = STYLE | {"svg.hashsalt": "arms"}
    with mpl.rc_context(style):
        shown = [n for n in ("modes_captured", "kl_to_uniform") if n in metrics]
        height = 0.9 + 0.34 * len(arms)
        figure = Figure(figsize=(8.4, height), layout="constrained")
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, shown, strict=True):
            for line, arm in enumerate(reversed(arms)):
                values = np.array(arm.values(metric))
                if not len(values):
                    continue
                # Seeds that fall together are set apart a little, each at its place.
                apart = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else 0
                axes.plot(
                    values, line + apart, "o", color=COLOURS[0], ms=4, alpha=0.7, mew=0
                )
                axes.plot([values.mean()], [line], "|", color=COLOURS[1], ms=14, mew=2)
            axes.set_xlabel(_kind(metric).title)
            axes.grid(axis="x", lw=0.4, alpha=0.3, color=INK)
        names = [arm.name for arm in reversed(arms)]
        panels[0].set_yticks(range(len(arms)), names)
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
        figure.savefig(png, format="png", dpi=150, facecolor="white")
    return svg.getvalue(), png.getvalue()
