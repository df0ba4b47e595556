"""Options over the defaults of a settings tree; a mistake is told in one line."""

import contextlib
import dataclasses
import difflib
import io
from collections.abc import Iterator
from typing import Any

import tyro

from research.errors import UserError

# Of the box that tyro draws around an error; where the terminal takes ASCII alone there
# is no frame, and the title stands above the first rule.
_FRAME = "│╭╮╰╯"
_RULE = "─-"


def parse(
    settings: Any, arguments: list[str], command: str, description: str = ""
) -> Any:
    """The settings with these options' values in place.

    Args:
      settings: a dataclass instance, the defaults.
      arguments: options as the user wrote them, `--field.name value`.
      command: what the user typed before them, for `--help`.
      description: of the command, for `--help`.

    Raises:
      UserError: an option that there is not, or a value of another type.
      SystemExit: after `--help`.
    """
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            parsed, unknown = tyro.cli(
                type(settings),
                default=settings,
                args=arguments,
                prog=command,
                description=description,
                return_unknown_args=True,
            )
    except SystemExit as end:
        if not end.code:
            raise
        message = first_paragraph(told.getvalue())
        raise UserError(f"{message}; {command} --help shows every option") from None
    if unknown:
        raise UserError(_unknown(unknown, settings, command))
    return parsed


def options(settings: Any, prefix: str = "--") -> Iterator[str]:
    """Names of the options that a settings tree has."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        name = prefix + field.name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            yield from options(value, f"{name}.")
        elif isinstance(value, dict):
            yield from (f"{name}.{key.replace('_', '-')}" for key in value)
        else:
            yield name


def first_paragraph(box: str) -> str:
    """What a drawn box says under its title, up to its first rule, on one line."""
    paragraphs: list[list[str]] = [[]]
    for line in box.splitlines():
        inside = line.strip().strip(_FRAME).strip()
        if inside and not inside.strip(_RULE):
            paragraphs.append([])
        elif not line.strip().startswith("╭"):
            paragraphs[-1] += inside.split()
    words = paragraphs[0 if "╭" in box else min(1, len(paragraphs) - 1)]
    return " ".join(words).rstrip(".").removeprefix("Error parsing ")


def _unknown(tokens: list[str], settings: Any, command: str) -> str:
    wrong = tokens[0].partition("=")[0]
    near = difflib.get_close_matches(wrong.replace("_", "-"), options(settings), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    what = "is no option" if wrong.startswith("--") else "belongs to no option"
    return f"{wrong} {what}; {hint}{command} --help shows every option"
