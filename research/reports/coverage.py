"""Which runs collapsed, and the page's headline.

A verdict is made by comparing a run's numbers with the same numbers of real pictures,
its floors, and never by a run's name.
"""

import numpy as np

from research.metrics import health
from research.metrics.measured import Measured
from research.reports.numbers import listing, number
from research.reports.runs import Run

# A run collapsed if it reaches fewer than a twentieth of the classes that real pictures
# reach, or if two of its pictures differ by less than a quarter of what two real ones
# do: a generator of 20 well-spread pictures is caught by the first, one that wobbles
# about a single picture by the second. `research.metrics.health` has the numbers.
# A picture whose pixels scatter by less than this share of their range shows nothing:
# stacked digits scatter by 0.31. So a young generator is not said to have collapsed.
FLAT = 0.05


def collapsed(run: Run) -> bool | None:
    """Whether a run's pictures are all but one; None where that was not measured."""
    modes = _share(run.metrics.get("modes_captured"))
    pairs = _share(run.metrics.get("pair_distance"))
    if modes is None and pairs is None:
        return None
    few = modes is not None and modes < health.FEW
    return few or (pairs is not None and pairs < health.NARROW)


def flat(run: Run) -> bool:
    """Whether a run's pictures show nothing at all."""
    if run.pictures is None:
        return False
    return float(np.mean(np.std(run.pictures / 255, axis=(1, 2, 3)))) < FLAT


def verdict(run: Run) -> str:
    """A few words for the caption of a run's pictures; empty where nothing is known."""
    if flat(run):
        return "flat: nothing can be seen"
    modes = run.metrics.get("modes_captured")
    if collapsed(run) is None or modes is None:
        return ""
    classes = f"{number(modes.value)} {modes.unit} classes"
    return f"collapsed: {classes}" if collapsed(run) else classes


def headline(runs: list[Run]) -> str:
    """The page's first sentence, from the numbers alone."""
    fallen = [run for run in runs if collapsed(run)]
    standing = [run for run in runs if collapsed(run) is False]
    if standing and not fallen and all("series_frechet" in r.metrics for r in runs):
        return _series(runs)
    standing.sort(key=lambda run: -_modes(run))
    first = next((run for run in fallen + standing if not flat(run)), None)
    told = [
        listing([f"{run.name} {_told(run, unit=run is first)}" for run in group])
        for group in (fallen, standing)
        if group
    ]
    return "; ".join(told) or _without_pictures(runs)


def finding(runs: list[Run]) -> tuple[str, ...]:
    """The variety of each run beside that of real pictures."""
    return tuple(filter(None, map(_variety, runs)))


def _variety(run: Run) -> str:
    modes, kl, pairs = (
        run.metrics.get(name)
        for name in ("modes_captured", "kl_to_uniform", "pair_distance")
    )
    if modes is None:
        return ""
    what = "pictures" if run.medium == "pictures" else "samples"
    told = [
        f"{number(modes.value)} {modes.unit} classes in {modes.samples:,} {what}"
        f"{_real(modes)}"
    ]
    if kl is not None:
        told.append(f"KL to uniform {number(kl.value)} nats{_real(kl)}")
    if pairs is not None:
        told.append(
            f"two {what} differ by {number(pairs.value)} {pairs.unit}{_real(pairs)}"
        )
    return f"{run.name}: {'; '.join(told)}."


def _real(measured: Measured) -> str:
    return "" if measured.floor is None else f" (real: {number(measured.floor)})"


def _share(measured: Measured | None) -> float | None:
    """The value as a share of its floor; None without either."""
    if measured is None or not measured.floor:
        return None
    return measured.value / measured.floor


def _modes(run: Run) -> float:
    modes = run.metrics.get("modes_captured")
    return modes.value if modes is not None else 0.0


def _told(run: Run, unit: bool) -> str:
    """What follows a run's name; the unit is told once in a headline."""
    if flat(run):
        return "drew nothing that can be seen"
    verb = "collapsed" if collapsed(run) else "drew"
    modes = run.metrics.get("modes_captured")
    if modes is None:
        return verb if collapsed(run) else "did not collapse"
    link = " to" if collapsed(run) else ""
    unit_words = f" {modes.unit} classes" if unit else ""
    return f"{verb}{link} {number(modes.value)}{unit_words}"


def _series(runs: list[Run]) -> str:
    """How far series are from real ones, the nearest first."""
    found = sorted((run.metrics["series_frechet"].value, run.name) for run in runs)
    (least, name), *others = found
    told = f"Whole series of {name} are {number(least)} from real ones by Fréchet"
    told += " distance" + "".join(f", of {n} {number(value)}" for value, n in others)
    floor = runs[0].metrics["series_frechet"].floor
    return told if floor is None else f"{told} (real ones {number(floor)})"


def _without_pictures(runs: list[Run]) -> str:
    """For runs whose pictures were not scored: what was done."""
    named = [run for run in runs if "accuracy" in run.metrics]
    if not named:
        return listing([f"{run.name}: {run.steps:,} steps" for run in runs])
    top = max(named, key=lambda run: run.metrics["accuracy"].value)
    share = 100 * top.metrics["accuracy"].value
    return f"{top.name} is right on {share:.1f}\u00a0% of the held-out targets"
