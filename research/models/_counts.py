"""Settings of a model that no network can have: too small, or kernels unknown."""

import math
from typing import Any

from kernels.lstm import dispatch
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


def refuse_none(model: Any, *fields: str) -> None:
    """Raises UserError for one of these scales that is no finite number above 0.

    None is left alone.
    """
    for field in fields:
        value = getattr(model, field)
        if value is not None and not 0 < value < math.inf:
            flag = field.replace("_", "-")
            raise UserError(f"--model.{flag} is {value}: give more than 0")


def refuse_kernel(backend: str | None, residuals: str | None = None) -> None:
    """Raises UserError for a backend or residuals that `kernels.lstm` does not have."""
    try:
        if backend is not None:
            dispatch.find(backend)
        if residuals is not None:
            dispatch.policy(residuals, "xla")
    except ValueError as error:
        raise UserError(f"--model.{error}") from error
