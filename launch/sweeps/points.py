"""The runs of a sweep: settings as one would type them, each checked by its type."""

import math
import re
import typing
from collections.abc import Sequence
from typing import Any, NamedTuple

from launch._settings import Chosen, choose
from launch.clusters import tools
from launch.sweeps.axes import Axis, Setting, drawn, grid, size
from research.errors import UserError
from research.experiment import Experiment, Population
from research.population import MOST

WHOLE = re.compile(r"-?\d+")


class Point(NamedTuple):
    """One run."""

    name: str  # its folder in the sweep's
    setting: Setting  # the seed is none of it
    seed: int
    arguments: tuple[str, ...]  # of `train`, without a workdir
    experiment: Experiment


def points(
    name: str,
    arguments: Sequence[str],
    axes: Sequence[Axis],
    seeds: int = 1,
    draws: int | None = None,
    draw_seed: int = 0,
) -> tuple[Chosen, list[Point]]:
    """Every run, and the experiment as it is without the sweep.

    Args:
      name: of the experiment.
      arguments: settings that all runs share.
      axes: what differs.
      seeds: runs of each setting, from the experiment's own seed on.
      draws: settings drawn at random; None: the whole grid.
      draw_seed: of the drawing.

    Raises:
      UserError: a field, value or combination that `train` would refuse.
    """
    if seeds < 1:
        raise UserError(f"--seeds is {seeds}: give 1 or more")
    if draws is not None and draws < 1:
        raise UserError(f"--random is {draws}: give 1 or more")
    plain = choose(name, list(arguments))
    if not isinstance(plain.settings, Experiment):
        raise UserError(f"{name} is a comparison of several runs: sweep one of them")
    _refuse_twice([one.field for one in axes] + ["seed"] * (seeds > 1))
    axes = [one._replace(whole=_is_whole(plain.settings, one)) for one in axes]
    settings = _settings(axes, seeds, draws, draw_seed)
    found = []
    for setting in settings:
        for seed in range(plain.settings.seed, plain.settings.seed + seeds):
            options = [o for f, v in setting for o in _option(plain.settings, f, v)]
            options += ["--seed", str(seed)] if seeds > 1 else []
            chosen = choose(name, [*arguments, *options])
            _refuse_population(chosen.settings.population)
            tools.refuse_settings(chosen.settings)
            label = [f"{f}_{v}" for f, v in setting]
            label += [f"seed_{seed}"] if seeds > 1 or not label else []
            found.append(
                Point(
                    _folder("-".join(label)),
                    setting,
                    chosen.settings.seed,
                    (name, *arguments, *options),
                    chosen.settings,
                )
            )
    names = [point.name for point in found]
    if twice := next((n for n in names if names.count(n) > 1), None):
        raise UserError(f"two runs of this sweep would both be called {twice!r}")
    _refuse_equal(found)
    return plain, found


def _settings(
    axes: Sequence[Axis], seeds: int, draws: int | None, draw_seed: int
) -> list[Setting]:
    runs = seeds * (math.prod(map(size, axes)) if draws is None else draws)
    if runs > MOST:
        raise UserError(f"this sweep is {runs:,} runs: give {MOST:,} or fewer")
    return grid(axes) if draws is None else drawn(axes, draws, draw_seed)


def _refuse_equal(found: Sequence[Point]) -> None:
    """Raises UserError for a value that is there twice, as 1 and as 1.0."""
    names: dict[str, str] = {}
    for point in found:
        other = names.setdefault(repr(point.experiment), point.name)
        if other != point.name:
            raise UserError(
                f"{other} and {point.name} are the same run: give each value of --over "
                f"once"
            )


def _refuse_twice(fields: Sequence[str]) -> None:
    """Raises UserError for a field of which only the last value would count."""
    if twice := next((f for f in fields if fields.count(f) > 1), None):
        raise UserError(
            f"{twice} is swept twice: give all of its values to one --over, and seeds "
            f"either to it or to --seeds"
        )


def _refuse_population(population: Population) -> None:
    """Raises UserError for members that would share the workdir of a point."""
    if population.seeds != 1:
        raise UserError(
            f"--population.seeds {population.seeds}: a sweep's seeds are "
            f"--seeds {population.seeds}, with --how population at once; leave it at 1"
        )
    if population.vary:
        raise UserError(
            f"--population.vary {' '.join(population.vary)}: in a sweep that is "
            f"--over FIELD=A,B, with --how population at once; leave it out"
        )


def _option(settings: Any, field: str, value: str) -> tuple[str, ...]:
    """A field's value as `train` takes it: a switch has a name for on, one for off.

    Raises:
      UserError: a switch that is neither true nor false.
    """
    if not isinstance(_typed(settings, field)[1], bool):
        return f"--{field}", value
    above, dot, last = field.rpartition(".")
    names = {"true": field, "false": f"{above}{dot}no-{last}"}
    if value.lower() not in names:
        raise UserError(f"--over {field}={value}: it is a switch, true or false")
    return (f"--{names[value.lower()]}",)


def _is_whole(settings: Any, one: Axis) -> bool:
    """Whether a range's values are whole numbers: by the type of the field."""
    if not all(WHOLE.fullmatch(end) for end in one.values):
        return False
    kind, value = _typed(settings, one.field)
    return float not in (kind, *typing.get_args(kind), type(value))


def _typed(settings: Any, field: str) -> tuple[Any, Any]:
    """A field's declared type and its value; None each where there is none."""
    at, kind = settings, None
    for name in field.replace("-", "_").split("."):
        hints = {} if isinstance(at, dict) else typing.get_type_hints(type(at))
        kind = hints.get(name)
        at = at.get(name) if isinstance(at, dict) else getattr(at, name, None)
    return kind, at


def _folder(label: str) -> str:
    """A folder's name for any setting."""
    return re.sub(r"[^\w.+=-]+", "_", label).strip(".") or "run"


def shared(found: Sequence[Point]) -> dict[Setting, list[Any]]:
    """Points by setting, seeds together."""
    groups: dict[Any, list[Any]] = {}
    for point in found:
        groups.setdefault(point.setting, []).append(point)
    return groups
