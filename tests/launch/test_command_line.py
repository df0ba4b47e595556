"""Options over a settings tree: what is taken, and the one line for what is not."""

import contextlib
import dataclasses
import io
import re
from typing import Literal

import pytest

from launch import _command_line
from research.errors import UserError


@dataclasses.dataclass(frozen=True)
class Part:
    learning_rate: float = 0.1
    noise: Literal["fresh", "shared"] = "fresh"


@dataclasses.dataclass(frozen=True)
class Tree:
    steps: int = 10
    part: Part = dataclasses.field(default_factory=Part)
    weights: dict[str, float] = dataclasses.field(default_factory=lambda: {"r1": 1.0})


def parse(*arguments: str) -> Tree:
    return _command_line.parse(Tree(), list(arguments), "launch/run train tree")


def test_options_replace_the_defaults_that_they_name():
    found = parse("--steps", "3", "--part.learning-rate=0.5", "--weights.r1", "2")
    assert found == Tree(3, Part(0.5), {"r1": 2.0})


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--stesp", "3"], "--stesp is no option; did you mean --steps?"),
        (
            ["--part.learning_rat", "1"],
            "--part.learning_rat is no option; did you mean --part.learning-rate?",
        ),
        (["--weights.r2", "1"], "--weights.r2 is no option; did you mean --weights.r1"),
        (["word"], "word belongs to no option; launch/run train tree --help"),
        (
            ["--steps", "many"],
            "--steps: invalid literal for int() with base 10: 'many'",
        ),
        (["--steps"], "Missing value for argument '--steps'"),
        (["--part.noise", "old"], "invalid choice 'old' for argument '--part.noise'"),
    ],
)
def test_a_mistake_is_one_line_with_the_value_and_the_way_out(arguments, line, capfd):
    with pytest.raises(UserError) as error:
        parse(*arguments)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)
    with (
        contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "ascii")),
        pytest.raises(UserError, match=f"^{re.escape(line)}"),
    ):
        parse(*arguments)
    assert str(error.value).endswith("launch/run train tree --help shows every option")
    assert capfd.readouterr() == ("", "")


def test_help_is_printed_as_ever(capsys):
    with pytest.raises(SystemExit) as end:
        parse("--help")
    assert end.value.code in (0, None)
    assert "--part.learning-rate FLOAT" in capsys.readouterr().out
