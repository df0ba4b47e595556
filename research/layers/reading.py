"""What a decoder knows of a source that an encoder has read."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kernels import LstmState


class Reading(NamedTuple):
    """The state of a model that reads a source and then writes."""

    memory: jax.Array  # [batch, time, features], the encoder's outputs
    lengths: jax.Array  # int32 [batch], their valid steps
    decoder: LstmState


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
