"""Data parallelism by jit of shard_map: arrays are global, over all processes' devices.

What is replicated has no axis of devices: its sharding says where the copies are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from research.training.axes import BATCH
from research.training.devices import Bounded
from research.training.strategies import OWN, Place

EVERYWHERE, SHARED = jax.P(), jax.P(BATCH)


def parallel(
    step: Callable[..., tuple[Any, Any]],
    places: Sequence[Place] | None = None,
    over: Sequence[Any] | None = None,
) -> Any:
    """The compiled `step(state, *inputs)` over all devices, the state donated."""

    specs = tuple(SHARED if place == OWN else EVERYWHERE for place in places or ())

    def of_one(state, *inputs):
        mine = [
            jax.tree.map(lambda leaf: leaf[0], tree) if spec == SHARED else tree
            for spec, tree in zip(
                specs or [EVERYWHERE] * len(inputs), inputs, strict=True
            )
        ]
        return step(state, *mine)

    # Unchecked, as pmap is: a replicated weight's gradient is each device's own until
    # the step averages it, and Pallas kernels know nothing of varying axes.
    program = jax.shard_map(
        of_one,
        mesh=_mesh(over),
        in_specs=(EVERYWHERE, *specs) if specs else EVERYWHERE,
        out_specs=EVERYWHERE,
        check_vma=False,
    )
    return Bounded(jax.jit(program, donate_argnums=0))


def replicate(tree: Any) -> Any:
    """A copy of each array on every device; all processes give the same."""
    return _placed(tree, EVERYWHERE)


def distribute(tree: Any) -> Any:
    """Each local device its part of the leading axis."""
    return _placed(tree, SHARED)


def fetch(tree: Any) -> Any:
    """One device's copy as numpy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), tree)


def shapes(tree: Any, ranks: int) -> Any:
    """Shapes of what `replicate` makes of a tree: no axis of devices."""
    del ranks
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def _placed(tree: Any, spec: jax.P) -> Any:
    sharding = NamedSharding(_mesh(), spec)

    def place(leaf):
        return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))

    return jax.tree.map(place, tree)


def _mesh(over: Sequence[Any] | None = None) -> Mesh:
    return Mesh(np.array(over or jax.devices()), (BATCH,))
