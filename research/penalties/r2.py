"""R2 (Mescheder 2018, eq. 10): ½ E‖∇ₓD(x)‖² on generated samples.

Needed beside R1 for relativistic pairing to converge from far away (Huang 2024).
"""

from collections.abc import Callable

import jax

from research.penalties.r1 import half_squared_gradient


def penalty(
    discriminate: Callable[[jax.Array], jax.Array],
    real: jax.Array,
    fake: jax.Array,
    keys: jax.Array,
) -> jax.Array:
    """½ E‖∇ₓD(x)‖² at the generated samples."""
    del real, keys
    return half_squared_gradient(discriminate, fake)
