"""Whole numbers of a model that are too small for any network."""

from typing import Any

from research.errors import UserError


def refuse_fewer(model: Any, least: int, *fields: str) -> None:
    """Raises UserError for one of these fields below `least`; None is left alone.

    Args:
      model: the settings of a model part.
      least: allowed.
      fields: a whole number each, or a tuple of them.
    """
    for field in fields:
        value = getattr(model, field)
        numbers = value if isinstance(value, tuple) else (value,)
        if any(number is not None and number < least for number in numbers):
            flag, told = field.replace("_", "-"), " ".join(map(str, numbers))
            raise UserError(f"--model.{flag} is {told}: give {least} or more")
