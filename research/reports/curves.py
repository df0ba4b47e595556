"""Loss curves of one run, drawn by matplotlib as SVG for HTML and PNG for Markdown."""

import io
import re
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from research.reports.numbers import listing, number
from research.reports.runs import Run

# Told apart by people who do not see red or green, on white and on near-black alike.
COLOURS = ("#1f83d6", "#e07b1f", "#8a63d2", "#2f9e78")
INK = "#010203"  # replaced in the SVG by the page's own text colour
STYLE = {
    "font.size": 11,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
# Logged names and what to call them, in the order of drawing.
LINES = {
    "generator_loss": "generator",
    "discriminator_loss": "discriminator",
    "loss": "training",
    "validation_loss": "held out",
}


class Chart(NamedTuple):
    """The curves of one run."""

    file: str  # name of the PNG file
    title: str
    alt: str
    svg: str
    png: bytes


def charts(runs: list[Run]) -> list[Chart]:
    """One chart for each run that logged a loss."""
    return [_chart(run) for run in runs if any(run.series(name)[0] for name in LINES)]


def _chart(run: Run) -> Chart:
    series = {label: run.series(name) for name, label in LINES.items()}
    series = {label: points for label, points in series.items() if points[0]}
    ends = [
        f"{label} from {number(values[0])} to {number(values[-1])}"
        for label, (_, values) in series.items()
    ]
    alt = f"Loss of {run.name} over {run.steps:,} steps: {listing(ends)}"
    style: dict[Any, Any] = STYLE | {"svg.hashsalt": run.name}
    with mpl.rc_context(style):
        figure = _figure(series)
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
        figure.savefig(png, format="png", dpi=150, facecolor="white")
    file = f"loss_{run.name.replace('/', '_')}.png"
    return Chart(file, run.name, alt, inline(svg.getvalue(), alt), png.getvalue())


def _figure(series: dict[str, tuple[list[int], list[float]]]) -> Figure:
    figure = Figure(figsize=(4.2, 2.7), layout="constrained")
    axes = figure.subplots()
    for colour, (label, (steps, values)) in zip(COLOURS, series.items(), strict=False):
        few = len(steps) < 12  # held-out values: seen as points, not only as a line
        axes.plot(
            steps, values, color=colour, lw=1.6, label=label, marker="o" if few else ""
        )
    _dress(axes, [value for _, values in series.values() for value in values])
    return figure


def _dress(axes: Axes, values: list[float]) -> None:
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    if min(values) > 0 and max(values) > 30 * min(values):
        axes.set_yscale("log")
        axes.set_ylabel("loss (log scale)")
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(axis="y", lw=0.4, alpha=0.3, color=INK)
    axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0))


def inline(svg: str, alt: str) -> str:
    """The SVG element alone, in the page's colours, free of references and prologue."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    label = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return svg.replace(INK, "currentColor")
