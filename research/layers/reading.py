"""What a decoder knows of a source that an encoder has read."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kernels import LstmState
from research.errors import UserError


class Reading(NamedTuple):
    """The state of a model that reads a source and then writes."""

    memory: jax.Array  # [batch, time, features], the encoder's outputs
    lengths: jax.Array  # int32 [batch], their valid steps
    decoder: LstmState


def pair_of(inputs: Any) -> tuple[jax.Array, jax.Array]:
    """(source, previous) of a task's inputs.

    Raises:
      UserError: they are one array, to be read step by step.
    """
    if not isinstance(inputs, tuple):
        raise UserError(
            "the model reads a source and writes, this task gives one sequence: take "
            "--model stacked_lstm, or --task.encoding sorting or addition"
        )
    return inputs  # type: ignore[return-value]


def refuse_pair(inputs: Any) -> None:
    """Raises UserError for a source and what is written of it, for an encoder."""
    if isinstance(inputs, tuple):
        raise UserError(
            "the model reads one sequence, this task gives a source and what is to be "
            "written: take --model attention_lstm or pointer_lstm"
        )


def as_vectors(inputs: jax.Array, symbols: int) -> jax.Array:
    """Symbols [batch, time] as one-hot vectors; vectors as they are."""
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        return jax.nn.one_hot(inputs, symbols)
    return inputs


def valid_lengths(source: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """Lengths of the rows of a source, all of it where none are given."""
    if lengths is None:
        return jnp.full(len(source), source.shape[1], jnp.int32)
    return jnp.asarray(lengths, jnp.int32)
