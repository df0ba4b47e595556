"""Counting a step's arithmetic and arrays from its trace, whatever it is compiled for.

Compilers' own counts take a loop's body once and know nothing of kernels; a trace has
every loop's length and every kernel's grid.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.extend.core as core


class Layer(NamedTuple):
    """An array made in a step, and where."""

    name: str  # of the module that makes it, as Flax names it
    shape: str
    bytes: int


class Work(NamedTuple):
    """Multiplications and additions, by what they are computed in."""

    wide: float  # float32 and wider
    narrow: float  # 16 bits and fewer, for which matrix units may have another speed

    @property
    def flops(self) -> float:
        return self.wide + self.narrow


def work(jaxpr: Any, platform: str = "cpu") -> Work:
    """That of all matrix products and convolutions.

    Args:
      jaxpr: of the step.
      platform: cpu, gpu or tpu, of the branches that are for one alone.
    """
    found: dict[bool, float] = {True: 0, False: 0}
    for equation, times, _ in _equations(jaxpr, platform):
        if count := times * _product(equation):
            widest = max(given.aval.dtype.itemsize for given in equation.invars)
            found[widest > 2] += count
    return Work(found[True], found[False])


def largest(jaxpr: Any, platform: str = "cpu") -> Layer:
    """The largest array that is made."""
    found = Layer("the step", "", 0)
    for equation, _, stack in _equations(jaxpr, platform):
        for made in equation.outvars:
            size = math.prod(made.aval.shape) * getattr(made.aval.dtype, "itemsize", 0)
            if size > found.bytes:
                name = layer_name(stack)
                found = Layer(
                    name or found.name, made.aval.str_short(short_dtypes=True), size
                )
    return found


def layer_name(stack: str) -> str:
    """`jvp(Generator)/BatchNorm_0/mul` → `Generator/BatchNorm_0`: modules alone."""
    inner = re.sub(r"\b(jvp|transpose|vmap|jit|pmap|shard_map|checkpoint|remat)\b", "",
                   stack)  # fmt: skip
    words = [word for word in re.split(r"[/()]+", inner) if word[:1].isupper()]
    return "/".join(words)


def _equations(
    jaxpr: Any, platform: str, times: float = 1, above: str = ""
) -> Iterator[tuple[Any, float, str]]:
    """Each equation, those inside others too, how often it runs, and its name stack.

    Of a loop of unknown length one turn is counted, of branches the first: both make
    the sum a lower bound. Branches by platform are those of `platform`.
    """
    asked: dict[Any, Any] = {}  # platforms of each branch, by the index that picks it
    for equation in jaxpr.eqns:
        if equation.primitive.name == "platform_index":
            asked[equation.outvars[0]] = equation.params["platforms"]
        stack = f"{above}/{equation.source_info.name_stack}"
        inner = list(_inner(equation))
        if not inner:
            yield equation, times, stack
            continue
        yield equation, 0, stack  # its arrays are seen, its work is that of its parts
        turns = times
        if equation.primitive.name == "scan":
            turns *= equation.params["length"]
        elif equation.primitive.name == "pallas_call":
            grid = equation.params["grid_mapping"].grid
            turns *= math.prod(n for n in grid if isinstance(n, int))
        elif equation.primitive.name == "cond":
            chosen = asked.get(equation.invars[0], ())
            places = [i for i, names in enumerate(chosen) if _meant(platform, names)]
            inner = inner[places[0] :][:1] if places else inner[:1]
        for below in inner:
            yield from _equations(below, platform, turns, stack)


def _meant(platform: str, names: tuple[str, ...] | None) -> bool:
    """Whether a branch for `names` (None: all others) is taken on a platform."""
    also = {"gpu": {"gpu", "cuda"}}.get(platform, {platform})
    return names is None or bool(also & set(names))


def _inner(equation: Any) -> Iterator[Any]:
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item


def _product(equation: Any) -> float:
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        depth = math.prod(left[axis] for axis in contracted)
        return 2 * math.prod(equation.outvars[0].aval.shape) * depth
    if equation.primitive.name == "conv_general_dilated":
        numbers = equation.params["dimension_numbers"]
        kernel = equation.invars[1].aval.shape
        depth = math.prod(kernel) // kernel[numbers.rhs_spec[0]]
        spread = math.prod(equation.params["lhs_dilation"])  # zeros between the inputs
        return 2 * math.prod(equation.outvars[0].aval.shape) * depth / spread
    return 0
