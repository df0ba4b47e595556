"""From a command line to an experiment's settings.

The experiment's file gives the defaults for a budget; a part that another replaces is
named by `--model NAME` or `--task NAME`; every field of the tree is an option.
"""

import dataclasses
import inspect
from types import ModuleType
from typing import Any, NamedTuple, get_args

from launch import _command_line
from research import parts
from research.errors import UserError
from research.experiment import Budget

# Fields that hold a part whose own fields are settings, and the class that a file of
# the family has: `Model`, or for a task the file's name (`Gan` in gan.py).
PART_CLASSES = {"model": "Model", "task": None}


class Chosen(NamedTuple):
    """An experiment and its settings."""

    name: str
    claim: str  # first line of the docstring
    settings: Any  # an Experiment, or a comparison of several


def choose(name: str, arguments: list[str], also: tuple[str, ...] = ()) -> Chosen:
    """The settings of experiment `name` under these arguments.

    Args:
      name: a file in experiments/, or package.module of a fork.
      arguments: options as the user wrote them.
      also: options of the verb itself, told in `--help`.

    Raises:
      UserError: no such experiment, budget, part or field, or a wrong value.
      SystemExit: after `--help`.
    """
    module = parts.find("experiments", name)
    if not hasattr(module, "experiment"):
        raise UserError(f"{module.__name__} has no function experiment(budget)")
    budget, arguments = take_option(arguments, "--budget")
    settings = module.experiment(budget) if _known(budget) else module.experiment()
    for field, attribute in PART_CLASSES.items():
        part, arguments = take_option(arguments, f"--{field}")
        if part is not None:
            settings = _replace_part(settings, field, part, attribute)
    command = f"launch/run train {name}"
    parsed = _command_line.parse(
        settings, arguments, command, _description(module, also)
    )
    return Chosen(name.rpartition(".")[2], claim(module), parsed)


def claim(module: ModuleType) -> str:
    """The first line of an experiment's docstring."""
    return (inspect.getdoc(module) or "no claim").splitlines()[0]


def take_option(arguments: list[str], option: str) -> tuple[str | None, list[str]]:
    """The value of `option` (None without) and the other arguments.

    Raises:
      UserError: the option is there without a value.
    """
    rest: list[str] = []
    value = None
    remaining = iter(arguments)
    for argument in remaining:
        if argument == option:
            value = next(remaining, None)
            if value is None or value.startswith("--"):
                raise UserError(f"{option} asks for a value: {option} VALUE")
        elif argument.startswith(option + "="):
            value = argument.partition("=")[2]
        else:
            rest.append(argument)
    return value, rest


def take_flag(arguments: list[str], option: str) -> tuple[bool, list[str]]:
    """Whether `option` is there, and the other arguments."""
    return option in arguments, [a for a in arguments if a != option]


def take_all(arguments: list[str], option: str) -> tuple[list[str], list[str]]:
    """Every value of an option that may be repeated, and the other arguments."""
    found = []
    while any(a.partition("=")[0] == option for a in arguments):
        at = next(i for i, a in enumerate(arguments) if a.partition("=")[0] == option)
        width = 1 if "=" in arguments[at] else 2
        value, _ = take_option(arguments[at : at + width], option)
        found.append(value or "")
        arguments = arguments[:at] + arguments[at + width :]
    return found, arguments


def take_number(
    arguments: list[str], option: str, default: int | None
) -> tuple[int | None, list[str]]:
    """The whole number that an option gives, and the other arguments."""
    value, rest = take_option(arguments, option)
    if value is None:
        return default, rest
    if not value.isdecimal():
        raise UserError(f"{option} {value}: give a whole number")
    return int(value), rest


def _known(budget: str | None) -> bool:
    budgets = list(get_args(Budget))
    if budget is not None and budget not in budgets:
        raise UserError(f"--budget {budget}{parts.suggestion(budget, budgets)}")
    return budget is not None


def _replace_part(settings: Any, field: str, name: str, attribute: str | None) -> Any:
    if not hasattr(settings, field):
        members = [
            f"--{f.name.replace('_', '-')}.*" for f in dataclasses.fields(settings)
        ]
        raise UserError(
            f"--{field} {name}: this is a comparison of several runs; change a field "
            f"of one of them ({', '.join(members)}) or train it by itself"
        )
    part = parts.find(f"research.{field}s", name)
    if isinstance(part, ModuleType):
        stem = part.__name__.rpartition(".")[2]
        attribute = attribute or stem.title().replace("_", "")
        part = parts.find(f"research.{field}s", f"{part.__name__}:{attribute}")
    return dataclasses.replace(settings, **{field: part()})


def _description(module: ModuleType, also: tuple[str, ...]) -> str:
    budgets = "|".join(get_args(Budget))
    options = (f"--budget {budgets}", "--model NAME", "--task NAME", *also)
    return f"{inspect.getdoc(module)}\n\nalso: {' · '.join(options)}"
