"""A float setting of several runs at once, inside the program that trains them all.

A task is built from settings by ordinary Python: it refuses wrong ones, and leaves out
what is switched off. A traced value can do neither. So where Python asks, a `Varied`
answers from the concrete values of all members, which must agree; where it is computed
with, it is the traced value of one.
"""

import operator
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from research.errors import UserError


@jax.tree_util.register_pytree_node_class
class Varied:
    """Acts as a float in settings; `name` is the field's, for messages.

    It is a pytree of its traced value, so that functions of jax.numpy take it too.
    """

    def __init__(self, name: str, values: tuple[float, ...], traced: jax.Array):
        self.name, self.values, self.traced = name, values, traced

    def __jax_array__(self) -> jax.Array:
        return self.traced

    def tree_flatten(self):
        return (self.traced,), (self.name, self.values)

    @classmethod
    def tree_unflatten(cls, about, children):
        return cls(*about, *children)

    def __repr__(self) -> str:
        return f"{{{', '.join(map(str, self.values))}}}"

    def __bool__(self) -> bool:
        return self._agreed(map(bool, self.values))

    def __float__(self) -> float:
        return self._agreed(self.values)

    def __hash__(self) -> int:
        return id(self)

    def _agreed(self, answers: Any) -> Any:
        answers = {*answers}
        if len(answers) == 1:
            return answers.pop()
        raise UserError(
            f"{self.name} is {self!r} in one population, and the program depends on "
            f"which: train them as populations of their own"
        )


def _comparison(compare: Callable[[Any, Any], Any]) -> Callable[[Varied, Any], Any]:
    def method(self: Varied, other: Any) -> Any:
        if isinstance(other, Varied):
            pairs = zip(self.values, other.values, strict=True)
            return self._agreed(compare(*pair) for pair in pairs)
        if isinstance(other, int | float | np.number):
            return self._agreed(compare(value, other) for value in self.values)
        if isinstance(other, jax.Array):
            return compare(self.traced, other)
        return NotImplemented

    return method


def _arithmetic(compute: Callable[[Any, Any], Any]) -> Callable[[Varied, Any], Any]:
    def method(self: Varied, other: Any) -> Any:
        other = other.traced if isinstance(other, Varied) else other
        return compute(self.traced, other)

    return method


def _unary(compute: Callable[[Any], Any]) -> Callable[[Varied], Any]:
    return lambda self: compute(self.traced)


for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Varied, f"__{_name}__", _comparison(getattr(operator, _name)))
for _name in ("add", "sub", "mul", "truediv", "pow", "floordiv", "mod"):
    _compute = getattr(operator, _name)
    setattr(Varied, f"__{_name}__", _arithmetic(_compute))
    _swapped = _arithmetic(lambda a, b, compute=_compute: compute(b, a))
    setattr(Varied, f"__r{_name}__", _swapped)
for _name in ("neg", "pos", "abs"):
    setattr(Varied, f"__{_name}__", _unary(getattr(operator, _name)))
