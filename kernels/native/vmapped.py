"""vmap of calls whose arrays have an axis of rows that know nothing of each other."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

Axes = Sequence[int | None]  # where an array has its rows; None: it is shared by all


def joining_rows(
    run: Callable[..., Sequence[jax.Array]], of_operands: Axes, of_results: Axes
) -> Callable[..., Sequence[jax.Array]]:
    """`run`, whose vmap is one call with all rows where no shared operand is mapped.

    Where one is, it is `run`'s own vmap.

    Args:
      run: arrays → arrays.
      of_operands, of_results: the axis of rows of each.
    """

    @custom_vmap
    def call(*operands: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(run(*operands))

    @call.def_vmap
    def joined(size: int, mapped: Sequence[bool], *operands: jax.Array):
        everywhere = (True,) * len(of_results)
        given = list(zip(operands, mapped, of_operands, strict=True))
        if any(is_mapped and axis is None for _, is_mapped, axis in given):
            axes = [0 if is_mapped else None for is_mapped in mapped]
            return tuple(jax.vmap(run, axes)(*operands)), everywhere
        results = call(*(_join(size, *one) for one in given))
        apart = zip(results, of_results, strict=True)
        return tuple(_part(size, *one) for one in apart), everywhere

    return call


def _join(size: int, array: jax.Array, mapped: bool, axis: int | None) -> jax.Array:
    """[size, .., rows, ..] → [.., size·rows, ..]."""
    if axis is None:
        return array
    if not mapped:
        array = jnp.broadcast_to(array, (size, *array.shape))
    array = jnp.moveaxis(array, 0, axis)
    rows = array.shape[axis] * array.shape[axis + 1]
    return array.reshape(*array.shape[:axis], rows, *array.shape[axis + 2 :])


def _part(size: int, array: jax.Array, axis: int | None) -> jax.Array:
    """The way back."""
    if axis is None:
        return jnp.broadcast_to(array, (size, *array.shape))
    rows = array.shape[axis] // size
    array = array.reshape(*array.shape[:axis], size, rows, *array.shape[axis + 1 :])
    return jnp.moveaxis(array, axis, 0)
