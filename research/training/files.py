"""The files of a workdir: written whole or not at all, read or refused in a line."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from research.errors import UserError


def read_metrics(workdir: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl; a last line that a kill cut short is left out."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


def read_starts(workdir: Path) -> list[dict[str, Any]]:
    """`step` and `stamp` of the start, and of each later one made with something else.

    Raises:
      UserError: no run there, or a damaged file.
    """
    first = read_json(workdir / "config.json").get("stamp", {})
    file = workdir / "starts.json"
    later = read_json(file) if file.exists() else []
    return [{"step": 0, "stamp": first}, *later]


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
      UserError: there is none, or it is damaged or may not be read.
    """
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path.parent} holds no run: it has no {path.name}") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise UserError(
            f"{path} is damaged: take its run from a copy, or train into another "
            f"--workdir"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def write_json(path: Path, values: Any) -> None:
    """Writes a JSON file whole or not at all."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all: a new one takes the old one's name.

    Raises:
      UserError: it cannot be written.
    """
    with refusing(path), replacing(path) as new:
        new.write_text(text)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write what takes the name of `path` once it is whole.

    A kill inside leaves `path` as it was; an error leaves nothing of the new one.
    """
    new = path.with_name(path.name + ".new")
    try:
        yield new
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Makes one line of what a full or read-only disk raises inside."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): make room, or make it "
            f"writable, and start again; what was saved stays"
        ) from error
