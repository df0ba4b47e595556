"""A sum as something to read and something to write, for an encoder and a decoder.

It is written from its lowest digit, as by hand: then each digit needs two digits of the
source and one carry. From the highest, the first digit needs all of them.
"""

import jax
import jax.numpy as jnp

from research.encodings.sorting import measure

DATA = "addition"
FIRST = ord("+")  # the lowest of the characters
READ = ord("=") - FIRST + 1  # characters that may be read
SYMBOLS = 10  # digits, which are written

__all__ = ["encode", "measure"]


def encode(
    batch: dict[str, jax.Array], keys: jax.Array | None
) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    """Inputs: "123+045" [batch, 2n + 1] and "=861", symbols from 0 to READ − 1.

    Targets int32 [batch, n + 1], the digits of the sum, the lowest first.
    """
    del keys
    tokens = batch["tokens"]
    asked = 2 * (tokens.shape[1] // 3 - 1) + 1  # of 3n + 3 characters
    symbols = (tokens - FIRST).astype(jnp.int32)
    written = symbols[:, :asked:-1]  # all after the sign, from the end
    before = jnp.concatenate([symbols[:, asked, None], written[:, :-1]], axis=1)
    return (symbols[:, :asked], before), written - (ord("0") - FIRST)
