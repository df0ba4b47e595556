"""Writes a report: one self-contained page, and the same in Markdown.

`report.html` needs no other file and no network: grids are inside as PNG, curves as
SVG in the page's own colours. `report.md` shows the PNG files of the folder `report`
beside it, so that a code-hosting site renders it.
"""

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from research.errors import UserError
from research.reports import arms, coverage, overlap
from research.reports.curves import Chart, charts
from research.reports.findings import Finding, findings
from research.reports.grids import Grid, RealData, grids, real_data
from research.reports.numbers import listing
from research.reports.runs import Run
from research.reports.table import Row, table
from research.training.files import write_text


class Page(NamedTuple):
    """All that the two templates show."""

    headline: str
    summary: str
    arms: arms.Arms | None  # of a population's seeds
    findings: list[Finding]
    grids: list[Grid]
    missing: str  # why there are no real samples, or empty
    rows: list[Row]
    charts: list[Chart]
    runs: list[Run]


def write_report(workdir: Path, runs: list[Run]) -> Path:
    """Writes report.html, report.md and report/*.png into `workdir`.

    Args:
      workdir: where the report goes.
      runs: in the order of the columns.

    Returns:
      The path of report.html.

    Raises:
      UserError: a damaged file.
    """
    page = compose(runs)
    pictures = workdir / "report"
    pictures.mkdir(parents=True, exist_ok=True)
    for kind in ("grid", "loss"):  # of another run; other files there are the user's
        for old in pictures.glob(f"{kind}_*.png"):
            old.unlink()
    for picture in (*page.grids, *page.charts):
        if picture.png is not None:
            (pictures / picture.file).write_bytes(picture.png)
    if page.arms is not None:
        (pictures / arms.FILE).write_bytes(page.arms.png)
    write_text(workdir / "report.md", render("page.md.jinja", page))
    write_text(workdir / "report.html", render("page.html.jinja", page))
    return workdir / "report.html"


def compose(runs: list[Run]) -> Page:
    """The content of a page, from the runs' own numbers.

    Of a population's arms the table and the picture show every seed; pictures, numbers
    and curves are those of each arm's first.
    """
    population, told = arms.arms_of(runs), headline(runs)
    if population is not None:
        runs = [arm.runs[0] for arm in arms.grouped(runs)]
    real, missing = _real(runs)
    epoch = real.epoch if real is not None else None
    return Page(
        told,
        _summary(runs, real),
        population,
        findings(runs, epoch),
        grids(runs, real),
        missing,
        table(runs),
        charts(runs),
        runs,
    )


def headline(runs: list[Run]) -> str:
    """The page's first sentence."""
    return arms.headline(runs) or overlap.headline(runs) or coverage.headline(runs)


def render(template: str, page: Page) -> str:
    """A page through one of the templates beside this file."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=template.endswith(".html.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"data_uri": _data_uri, "config": _config, "origin": _origin}
    floors = any(cell.floor for row in page.rows for cell in row.cells)
    found = environment.get_template(template)
    return found.render(page._asdict(), floors=floors)


def _real(runs: list[Run]) -> tuple[RealData | None, str]:
    """Real data for all runs, or the reason why none is shown."""
    names = {json.dumps(run.config.get("data")) for run in runs}
    if len(names) > 1:
        return None, "The runs were trained on different data sets."
    try:
        return real_data(runs[0]), ""
    except UserError as error:
        return None, f"Real samples are not shown: {error}."


def _summary(runs: list[Run], real: RealData | None) -> str:
    """What the page is about, in a sentence or two."""
    if len(runs) == 1:
        text = runs[0].claim.rstrip(".") + "."
    else:
        text = f"{listing([run.name for run in runs])}, measured in the same way."
    return f"{text} {real.about}" if real is not None else text


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _config(run: Run) -> str:
    return json.dumps(run.config, indent=2)


def _origin(run: Run) -> dict[str, Any]:
    """How a run was made, by the words of the page."""
    stamp = run.stamp
    commit = stamp.get("commit") or "not a git checkout"
    changes = {"went on with": "; ".join(run.changes)} if run.changes else {}
    return changes | {
        "command": stamp["command"],
        "commit": f"{commit}, changed since" if stamp.get("dirty") else commit,
        "device": f"{stamp['devices']} × {stamp['device']}",
        "started": stamp["started"],
        "python": stamp["python"],
        "versions": ", ".join(f"{k} {v}" for k, v in stamp["versions"].items()),
    }
