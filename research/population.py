"""Runs that differ in seeds and floats alone: one compiled program trains them at once.

`members` lists a population's runs, `alike` puts runs together that one program can
train, and `insert` gives an experiment the traced values of one of them. Everything
else, and whether a float is 0, is structure: it decides which program is compiled.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from research import parts
from research.errors import UserError
from research.experiment import Experiment, Population
from research.settings import to_dict

Setting = tuple[str, ...]  # where a field lies in the tree: ("optimizer", "beta1")
SEED: Setting = ("seed",)
MOST = 10_000  # runs; each has a workdir and a state of its own


def members(experiment: Experiment) -> dict[str, Experiment]:
    """The runs of an experiment's population by name, each an experiment of its own.

    Raises:
      UserError: a setting that does not exist or is no float; no seeds, or more runs
        than MOST; two runs of one name.
    """
    population = experiment.population
    if population.seeds < 1:
        raise UserError(f"--population.seeds is {population.seeds}: give 1 or more")
    alone = dataclasses.replace(experiment, population=Population())
    varied: dict[Setting, tuple[float, ...]] = {}
    for entry in population.vary:
        where, values = _parse(alone, entry)
        if where in varied:
            raise UserError(
                f"--population.vary {entry}: {'.'.join(where)} is varied already: "
                f"write all of its values in one entry"
            )
        varied[where] = values
    count = population.seeds * math.prod(map(len, varied.values()))
    if count > MOST:
        raise UserError(f"--population.* are {count:,} runs: give {MOST:,} or fewer")
    found = {}
    for values in itertools.product(*varied.values()):
        settings = dict(zip(varied, values, strict=True))
        for seed in range(alone.seed, alone.seed + population.seeds):
            names = [f"{where[-1]}_{value:g}" for where, value in settings.items()]
            name = "-".join([*names, f"seed_{seed}"])
            if name in found:
                raise UserError(
                    f"--population.vary {' '.join(population.vary)}: two runs would be "
                    f"{name!r}; give values that differ in their first six digits"
                )
            found[name] = insert(alone, settings | {SEED: seed})
    return found


def alike(experiments: Mapping[Any, Experiment]) -> list[list[Any]]:
    """Groups of the names of runs that one program can train, in first-seen order."""
    groups: dict[Any, list[Any]] = {}
    for name, experiment in experiments.items():
        leaves = flatten(to_dict(experiment)).items()
        structure = tuple((where, _kind(where, value)) for where, value in leaves)
        # One that may go back in time cannot keep step with others.
        alone = name if experiment.on_nan == "rewind" else None
        groups.setdefault((structure, alone), []).append(name)
    return list(groups.values())


def differing(experiments: Iterable[Experiment]) -> dict[Setting, tuple[Any, ...]]:
    """Settings in which runs of one structure differ, and each run's value."""
    trees = [flatten(to_dict(experiment)) for experiment in experiments]
    found = {where: tuple(tree[where] for tree in trees) for where in trees[0]}
    return {where: values for where, values in found.items() if len({*values}) > 1}


def insert(settings: Any, values: Mapping[Setting, Any]) -> Any:
    """The tree with some fields replaced; neither they nor it are validated."""
    if not values:
        return settings
    inside: dict[str, dict[Setting, Any]] = {}
    for (first, *rest), value in values.items():
        inside.setdefault(first, {})[tuple(rest)] = value
    old = settings if isinstance(settings, Mapping) else vars(settings)
    new = {
        name: below[()] if () in below else insert(old[name], below)
        for name, below in inside.items()
    }
    if isinstance(settings, Mapping):
        return {**settings, **new}
    return dataclasses.replace(settings, **new)


def flatten(tree: Mapping[str, Any], above: Setting = ()) -> dict[Setting, Any]:
    """Every leaf of nested dicts by its place; a list counts as one leaf."""
    found: dict[Setting, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= flatten(value, (*above, name)) or {(*above, name): ()}
        else:
            found[(*above, name)] = tuple(value) if isinstance(value, list) else value
    return found


def _kind(where: Setting, value: Any) -> Any:
    """What of a leaf the program depends on."""
    if where == SEED:
        return "seed"
    return ("float", value == 0) if isinstance(value, float) else value


def _parse(experiment: Experiment, entry: str) -> tuple[Setting, tuple[float, ...]]:
    name, _, values = entry.partition("=")
    floats = {
        ".".join(where): where
        for where, value in flatten(to_dict(experiment)).items()
        if isinstance(value, float)
    }
    name = name.strip().replace("-", "_")
    if name not in floats:
        hint = parts.suggestion(name, list(floats))
        raise UserError(f"--population.vary {entry}: no float setting {name!r}{hint}")
    try:
        return floats[name], tuple(float(value) for value in values.split(","))
    except ValueError:
        raise UserError(
            f"--population.vary {entry}: write it as {name}=0.1,0.2"
        ) from None
