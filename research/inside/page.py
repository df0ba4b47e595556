"""The page of a trained language model's gates, cells and memory."""

import base64
import io
import os
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jinja2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from research import reports
from research.errors import UserError
from research.inside import gates, memory
from research.inside.gates import Inside
from research.media import text as text_medium
from research.training.files import write_text
from research.training.job import Job
from research.training.trained import Trained
from research.writing import refuse_prompt

FILE = "inside.html"
TEXTS = 32  # held-out texts that the gradient is a mean over
DISTANCE = 200  # bytes back
READ = 400  # bytes that are shown
MAPPED = 100  # of them in the heat maps
UNITS = 12  # cells shown byte by byte
POSITIVE, NEGATIVE = (31, 131, 214), (224, 123, 31)


class Unit(NamedTuple):
    """One cell over a text."""

    number: int
    forget: float  # mean of its forget gate
    letters: list[tuple[str, str]]  # and their colours


def write(trained: Trained, workdir: Path, text: str = "") -> Path:
    """Writes inside.html into a run's workdir.

    Args:
      trained: a run of the task `language`.
      workdir: of the run.
      text: what the model reads; empty: held-out text of its own data.

    Returns:
      The path of the page.

    Raises:
      UserError: a run that reads no text, a model without plain LSTM layers, or symbols
        that it was not trained on.
    """
    job = trained.job
    if job.task.predict is None:
        raise UserError(
            f"{job.name} reads no text: --inside looks into runs of the task language"
        )
    known, classes = job.train.arrays["text"], job.experiment.model.classes
    name = job.experiment.data.name
    refuse_prompt(os.fsencode(text), known, classes, name, "--inside")
    module, params = job.experiment.model.module(), trained.state.params
    held_out = _held_out(job)
    shown = _bytes(text) if text else held_out[0, :READ]
    found = gates.read(module, params, shown)
    norms = memory.by_distance(module, params, held_out[:, : DISTANCE + 1])
    page = {
        "name": job.name,
        "step": trained.step,
        "headline": headline(found, norms),
        "about": f"What {job.name} does while it reads {len(shown):,} bytes"
        f"{'' if text else ' that it was not trained on'}.",
        "memory": curve(norms),
        "texts": len(held_out),
        "saturation": [
            [gates.saturation(jnp.abs(part)) for part in one] for one in found
        ],
        "maps": [heat_maps(one, shown) for one in found],
        "units": units(found[-1], shown),
    }
    write_text(
        workdir / FILE, _environment().get_template("page.html.jinja").render(page)
    )
    return workdir / FILE


def headline(found: list[Inside], norms: np.ndarray) -> str:
    """The page's first sentence, from the numbers alone."""
    half, most = (memory.reach(norms, share) for share in (0.5, 0.95))
    holding, _ = gates.saturation(jnp.concatenate([one.f.ravel() for one in found]))
    return (
        f"Half of the gradient comes from the last {half} bytes and 95\u00a0% from the "
        f"last {most}; {100 * holding:.0f}\u00a0% of the forget gates' values are "
        f"above {gates.OPEN}"
    )


def units(inside: Inside, symbols: jax.Array) -> list[Unit]:
    """The UNITS cells that vary most over the text, each with its coloured letters."""
    cells, forget = np.asarray(inside.cell), np.asarray(inside.f).mean(axis=0)
    order = np.argsort(-cells.std(axis=0), kind="stable")[:UNITS]
    letters = [text_medium.readable(np.array([s])) for s in np.asarray(symbols)]
    return [
        Unit(
            int(unit),
            float(forget[unit]),
            [(a, colour(v)) for a, v in zip(letters, cells[:, unit], strict=True)],
        )
        for unit in order
    ]


def colour(value: float) -> str:
    """Blue for 1, orange for −1, white for 0, as CSS has it."""
    end = POSITIVE if value > 0 else NEGATIVE
    shade = [round(255 + abs(float(value)) * (part - 255)) for part in end]
    return f"rgb({','.join(map(str, shade))})"


def heat_maps(inside: Inside, symbols: jax.Array) -> bytes:
    """The three gates and the cell of all units over the first bytes, as a PNG."""
    order = np.argsort(np.asarray(inside.f).mean(axis=0))
    letters = [
        text_medium.readable(np.array([s])) for s in np.asarray(symbols)[:MAPPED]
    ]
    names = ("input gate", "forget gate", "output gate", "cell, tanh(c)")
    with mpl.rc_context({"font.size": 7}):
        figure = Figure(figsize=(11, 8), dpi=110, layout="constrained")
        panels = figure.subplots(4, 1, sharex=True)
        for axes, name, values in zip(panels, names, inside, strict=True):
            signed = values is inside.cell
            drawn = axes.imshow(
                np.asarray(values)[:MAPPED, order].T,
                aspect="auto",
                interpolation="nearest",
                cmap="RdBu" if signed else "viridis",
                vmin=-1 if signed else 0,
                vmax=1,
            )
            axes.set_ylabel(name)
            figure.colorbar(drawn, ax=axes, pad=0.01)
        panels[-1].set_xticks(
            range(len(letters)), [a.replace("\n", "⏎") for a in letters]
        )
        return _png(figure)


def curve(norms: np.ndarray) -> bytes:
    """Gradient norm by distance, both on log scales, as a PNG."""
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(6.4, 3), dpi=120, layout="constrained")
        axes = figure.subplots()
        axes.loglog(np.arange(1, len(norms) + 1), norms, color="#1f83d6", lw=1.6)
        axes.set(xlabel="bytes back", ylabel="gradient norm")
        axes.grid(lw=0.3, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        return _png(figure)


def _held_out(job: Job) -> jax.Array:
    """Held-out texts with their context, int32 [TEXTS, time]."""
    positions = jnp.arange(min(TEXTS, job.held_out.examples), dtype=jnp.uint32)
    arrays = jax.tree.map(jnp.asarray, job.held_out.arrays)
    return job.dataset.batch(arrays, 0, positions)["tokens"]


def _bytes(text: str) -> jax.Array:
    """A text as the model reads it."""
    return jnp.asarray(np.frombuffer(os.fsencode(text), np.uint8), jnp.int32)


def _environment() -> jinja2.Environment:
    folders = [Path(__file__).parent, Path(reports.__file__).parent]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["data_uri"] = _data_uri
    return environment


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", facecolor="white")
    return stream.getvalue()
