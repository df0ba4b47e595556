"""Matrix products as every backend makes them, inside kernels and around them."""

from collections.abc import Sequence

import jax
from jax import lax

from kernels.lstm.spec import wide


def dot(
    left: jax.Array,
    right: jax.Array,
    over: tuple[Sequence[int], Sequence[int]] | None = None,
) -> jax.Array:
    """left·right, summed and given in the wide dtype.

    A TPU's matrix unit would round float32 factors to bfloat16, a GPU's to TF32, if not
    told; derivatives are of the same precision. On CPU the compiled program is the same
    with it and without.

    Args:
      left, right: of one dtype.
      over: axes of left and of right that are summed over; None: left's last, right's
        first.
    """
    exact = None if left.dtype.itemsize < 4 else lax.Precision.HIGHEST
    over = over or ((left.ndim - 1,), (0,))
    return lax.dot_general(
        left,
        right,
        (over, ((), ())),
        precision=exact,
        preferred_element_type=wide(left.dtype),
    )
