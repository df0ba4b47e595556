"""Where a device's memory goes."""

from typing import Any, NamedTuple

import jax

from launch.ahead.chips import Chip
from launch.ahead.program import forward_share
from launch.ahead.step import Compiled, Traced


class Memory(NamedTuple):
    """Bytes of one device's main memory."""

    parameters: int
    optimizer: int
    other_state: int  # statistics, averages, counters
    data: int  # the data set lives on the device
    padding: int  # arguments are laid out in whole tiles
    activations: int  # what the forward pass left, at the fullest moment
    temporaries: int  # all else that the step takes for itself
    program: int
    available: int

    @property
    def total(self) -> int:
        return sum(self) - self.available


def of(traced: Traced, compiled: Compiled, chip: Chip) -> Memory:
    """The compiler's sums, its arguments split by what they are."""
    stats = compiled.memory
    parameters, optimizer, other = _state(traced.state)
    data = _bytes(traced.arrays)
    new = stats.output_size_in_bytes - stats.alias_size_in_bytes
    temporary = stats.temp_size_in_bytes
    activations = int(forward_share(compiled.text) * temporary)
    return Memory(
        parameters,
        optimizer,
        other,
        data,
        max(stats.argument_size_in_bytes - parameters - optimizer - other - data, 0),
        activations,
        temporary - activations + new,
        stats.generated_code_size_in_bytes,
        chip.of_device().memory,
    )


def least(traced: Traced) -> dict[str, int]:
    """What is known without a compiler: a step that did not compile has only this."""
    parameters, optimizer, other = _state(traced.state)
    return {
        "parameters": parameters,
        "optimizer": optimizer,
        "other_state": other,
        "data": _bytes(traced.arrays),
    }


def state_bytes(traced: Traced) -> int:
    """All of the training state."""
    return sum(_state(traced.state))


def _state(state: Any) -> tuple[int, int, int]:
    """Bytes of parameters, of optax's states, and of the rest.

    Parameters lie under a field or key `params`; averages of them do not.
    """
    found = {"parameters": 0, "optimizer": 0, "other": 0}
    leaves = jax.tree_util.tree_flatten_with_path(state, is_leaf=_is_optimizer)[0]
    for path, leaf in leaves:
        names = {str(getattr(k, "name", getattr(k, "key", ""))) for k in path}
        kind = "parameters" if "params" in names else "other"
        found["optimizer" if _is_optimizer(leaf) else kind] += _bytes(leaf)
    return found["parameters"], found["optimizer"], found["other"]


def _is_optimizer(node: Any) -> bool:
    """A state of optax or of a transformation chained by it."""
    nodes = node if type(node) is tuple and node else (node,)
    return any(type(one).__module__.partition(".")[0] == "optax" for one in nodes)


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
