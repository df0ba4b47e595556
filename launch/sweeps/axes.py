"""What a sweep goes over: fields, and all or some of the values that are given."""

import itertools
import math
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from research.errors import UserError

RANGE = re.compile(r"^(-?[\d.eE+-]+)\.\.(-?[\d.eE+-]+)$")
TRIES = 100  # of drawing, for each setting that is wanted
Setting = tuple[tuple[str, str], ...]  # fields and their values


class Axis(NamedTuple):
    """A field and what it may be."""

    field: str  # as an option has it, e.g. optimizer.learning-rate
    values: tuple[str, ...]  # of a grid; of a range its two ends
    is_range: bool
    whole: bool = False  # a range of whole numbers


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


def size(one: Axis) -> int:
    """Values of an axis, but 1 for a range that has no end of them."""
    if not one.is_range:
        return len(one.values)
    first, last = map(int, one.values) if one.whole else (0, 0)
    return last - first + 1


def grid(axes: Sequence[Axis]) -> list[Setting]:
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


def drawn(axes: Sequence[Axis], draws: int, seed: int) -> list[Setting]:
    """So many different settings: whole numbers of a field that has them, any as
    likely; else log-uniform above 0, and uniform where the low end is not."""
    source = random.Random(seed)
    found: dict[Setting, None] = {}
    for _ in range(TRIES * draws):
        found[tuple((one.field, _draw(one, source)) for one in axes)] = None
        if len(found) == draws:
            return list(found)
    raise UserError(
        f"--random {draws}: only {len(found)} settings were found that differ; give "
        f"at most that many, or more values to --over"
    )


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
