"""Settings as JSON: a frozen tree to a nested dict, and back."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

from research import parts
from research.errors import UserError


def to_dict(settings: Any) -> Any:
    """Settings as JSON can hold them; each dataclass names itself under `part`."""
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        fields = {
            field.name: to_dict(getattr(settings, field.name))
            for field in dataclasses.fields(settings)
        }
        return {"part": f"{type(settings).__module__}:{type(settings).__name__}"} | (
            fields
        )
    if isinstance(settings, dict):
        return {name: to_dict(value) for name, value in settings.items()}
    return str(settings) if isinstance(settings, Path) else settings


def from_dict(values: Any, hint: Any = None) -> Any:
    """The inverse of `to_dict`.

    Args:
      values: what JSON gave back.
      hint: the type that the field asks for, to tell a tuple from a list.

    Raises:
      UserError: a part, or a field of one, that does not exist here.
    """
    if isinstance(values, dict) and "part" in values:
        part = parts.find("research", values["part"])
        hints = typing.get_type_hints(part)
        fields = {name: value for name, value in values.items() if name != "part"}
        if gone := [name for name in fields if name not in hints]:
            raise UserError(
                f"{values['part']} has no {gone[0]!r} any more, which these settings "
                f"give: read them with the commit that wrote them (config.json has it)"
            )
        return part(**{n: from_dict(v, hints.get(n)) for n, v in fields.items()})
    if isinstance(values, str) and Path in (hint, *typing.get_args(hint)):
        return Path(values)
    kinds = (hint, *typing.get_args(hint))  # of `X | None` too
    pair = any(typing.get_origin(kind) is tuple for kind in kinds)
    if isinstance(values, list) and pair:
        return tuple(values)
    return values


def completed(values: Any) -> Any:
    """Stored settings with the defaults of the fields that this code has besides.

    Raises:
      UserError: as `from_dict`.
    """
    return to_dict(from_dict(values))


def differences(old: Any, new: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    """Leaves of two nested dicts that differ: dotted name → (old, new)."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return {} if _plain(old) == _plain(new) else {name: (old, new)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in old | new:
        path = f"{name}.{key}" if name else key
        found |= differences(old.get(key), new.get(key), path)
    return found


def _plain(value: Any) -> Any:
    """A tuple as the list that JSON reads it back as."""
    return list(value) if isinstance(value, tuple) else value
