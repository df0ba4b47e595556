"""What a finished or running workdir holds, read for a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from research import parts
from research.errors import UserError
from research.metrics.measured import Measured
from research.training.files import read_json, read_metrics, read_starts
from research.training.stamp import changes_on_the_way


class Run(NamedTuple):
    """One run, as its workdir tells it."""

    name: str  # short, and unique on the page
    claim: str  # the first line of the experiment's docstring
    family: str  # "gan", "lstm", ...
    config: dict[str, Any]
    stamp: dict[str, Any]  # commit, command, versions, device
    history: list[dict[str, float]]  # the lines of metrics.jsonl
    summary: dict[str, Any]  # {} while the run is not finished
    metrics: dict[str, Measured]  # final numbers, {} while it is not finished
    medium: str  # what its samples are, a file in research/media
    samples: np.ndarray | None  # the last drawn
    changes: Sequence[str] = ()  # of the stamp, by later starts

    @property
    def pictures(self) -> np.ndarray | None:
        """uint8 [25, height, width, channels]; None where it draws others, or none."""
        return self.samples if self.medium == "pictures" else None

    @property
    def called(self) -> str:
        """What several of its samples are called."""
        medium = parts.find("research.media", self.medium)
        return getattr(medium, "CALLED", "samples")

    @property
    def steps(self) -> int:
        """Steps done."""
        logged = self.history[-1]["step"] if self.history else 0
        return int(self.summary.get("steps", logged))

    @property
    def thresholded(self) -> bool:
        """Whether its pictures hold nothing but black and full colours."""
        return self.pictures is not None and set(np.unique(self.pictures)) <= {0, 255}

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one logged number."""
        lines = [line for line in self.history if name in line]
        return [int(line["step"]) for line in lines], [line[name] for line in lines]


def read_runs(workdirs: list[Path]) -> list[Run]:
    """The runs of some workdirs, in their order, with names that tell them apart.

    Raises:
      UserError: a folder without a run, or a damaged file.
    """
    runs = [read_run(workdir) for workdir in workdirs]
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(path) for path in _distinct(workdirs)]
    return [run._replace(name=name) for run, name in zip(runs, names, strict=True)]


def read_run(workdir: Path) -> Run:
    """The run of one workdir, named for its experiment.

    Raises:
      UserError: no run there, or a damaged file.
    """
    about = read_json(workdir / "config.json")
    file = workdir / "summary.json"
    summary = read_json(file) if file.exists() else {}
    try:
        return Run(
            name=about["experiment"],
            claim=about["claim"],
            family=about["family"],
            config=about["config"],
            stamp=about["stamp"],
            history=read_metrics(workdir),
            summary=summary,
            metrics={
                name: Measured.from_dict(fields)
                for name, fields in summary.get("metrics", {}).items()
            },
            medium=about.get("medium", "pictures"),
            samples=_samples(workdir),
            changes=changes_on_the_way(read_starts(workdir)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{workdir} holds files of another version of this project ({error}): "
            "report on a run made with this one"
        ) from error


def find_members(workdir: Path) -> list[Path]:
    """The workdirs that a report on `workdir` is about: itself, or those in it.

    Raises:
      UserError: it holds no run and no folder with one.
    """
    if (workdir / "config.json").exists():
        return [workdir]
    members = sorted(file.parent for file in workdir.glob("*/config.json"))
    if not members:
        raise UserError(f"{workdir} holds no run, and no folder with one: train first")
    return members


def _samples(workdir: Path) -> np.ndarray | None:
    file = workdir / "samples" / "final.npy"
    if not file.exists():
        return None
    try:
        return np.load(file)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(
            f"{file} is damaged ({error}): train again to draw it anew"
        ) from error


def _distinct(workdirs: list[Path]) -> list[Path]:
    """The paths without the leading folders that all of them share."""
    parts = [workdir.absolute().parts for workdir in workdirs]
    shared = 0
    while all(len(p) > shared + 1 and p[shared] == parts[0][shared] for p in parts):
        shared += 1
    return [Path(*p[shared:]) for p in parts]
