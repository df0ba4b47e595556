"""The runs of a sweep: settings as one would type them, each checked by its type."""

import itertools
import math
import random
import re
import typing
from collections.abc import Sequence
from typing import Any, NamedTuple

from launch._settings import Chosen, choose
from launch.clusters import tools
from research.errors import UserError
from research.experiment import Experiment, Population

RANGE = re.compile(r"^(-?[\d.eE+-]+)\.\.(-?[\d.eE+-]+)$")
WHOLE = re.compile(r"-?\d+")
TRIES = 100  # of drawing, for each setting that is wanted


class Axis(NamedTuple):
    """A field and what it may be."""

    field: str  # as an option has it, e.g. optimizer.learning-rate
    values: tuple[str, ...]  # of a grid; of a range its two ends
    is_range: bool
    whole: bool = False  # a range of whole numbers


class Point(NamedTuple):
    """One run."""

    name: str  # its folder in the sweep's
    setting: tuple[tuple[str, str], ...]  # field and value; the seed is none of them
    seed: int
    arguments: tuple[str, ...]  # of `train`, without a workdir
    experiment: Experiment


def axis(text: str) -> Axis:
    """`FIELD=1e-3,1e-4` or `FIELD=1e-5..1e-2`.

    Raises:
      UserError: neither of them.
    """
    field, equals, values = text.partition("=")
    field = field.strip().removeprefix("--").replace("_", "-")
    if not equals or not field or not values.strip():
        raise UserError(
            f"--over {text}: write FIELD=VALUE,VALUE or, for --random, FIELD=LOW..HIGH"
        )
    if found := RANGE.match(values):
        try:
            low, high = (float(end) for end in found.groups())
        except ValueError:
            low, high = 0.0, 0.0
        if not low < high:
            raise UserError(f"--over {text}: a range goes up, as in 1e-5..1e-2")
        return Axis(field, found.groups(), True)
    listed = tuple(dict.fromkeys(value.strip() for value in values.split(",")))
    return Axis(field, listed, False)


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
    settings = _grid(axes) if draws is None else _drawn(axes, draws, draw_seed)
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


def _grid(axes: Sequence[Axis]) -> list[tuple[tuple[str, str], ...]]:
    """Every combination; a range of whole numbers is all of them."""
    each = []
    for one in axes:
        values: Sequence[str] = one.values
        if one.is_range and not one.whole:
            raise UserError(
                f"--over {one.field}={'..'.join(one.values)}: a range has no end of "
                f"values; say with --random N how many to draw"
            )
        if one.is_range:
            first, last = map(int, one.values)
            values = [str(number) for number in range(first, last + 1)]
        each.append([(one.field, value) for value in values])
    return list(itertools.product(*each))


def _drawn(
    axes: Sequence[Axis], draws: int, seed: int
) -> list[tuple[tuple[str, str], ...]]:
    """So many different settings: whole numbers of a field that has them, any as
    likely; else log-uniform above 0, and uniform where the low end is not."""
    source = random.Random(seed)
    found: dict[tuple[tuple[str, str], ...], None] = {}
    for _ in range(TRIES * draws):
        found[tuple((one.field, _draw(one, source)) for one in axes)] = None
        if len(found) == draws:
            return list(found)
    raise UserError(
        f"--random {draws}: only {len(found)} settings were found that differ; give "
        f"at most that many, or more values to --over"
    )


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


def _draw(one: Axis, source: random.Random) -> str:
    if not one.is_range:
        return source.choice(one.values)
    low, high = (float(end) for end in one.values)
    if one.whole:
        return str(source.randint(int(low), int(high)))
    if low > 0:
        value = math.exp(source.uniform(math.log(low), math.log(high)))
    else:
        value = source.uniform(low, high)
    return f"{value:.4g}"


def _folder(label: str) -> str:
    """A folder's name for any setting."""
    return re.sub(r"[^\w.+=-]+", "_", label).strip(".") or "run"


def shared(found: Sequence[Point]) -> dict[tuple[tuple[str, str], ...], list[Any]]:
    """Points by setting, seeds together."""
    groups: dict[Any, list[Any]] = {}
    for point in found:
        groups.setdefault(point.setting, []).append(point)
    return groups
