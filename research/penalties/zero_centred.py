"""Zero-centred penalty between samples (Thanh-Tung 2019, eq. 8): E‖∇D(x̃)‖².

x̃ as in `wgan_gp`, between a real sample and a generated one; a slope of 0 is asked for
there, not of 1, so that the game can come to rest. No factor ½, as in the paper.
"""

from collections.abc import Callable

import jax

from research.penalties.r1 import half_squared_gradient
from research.penalties.wgan_gp import between


def penalty(
    discriminate: Callable[[jax.Array], jax.Array],
    real: jax.Array,
    fake: jax.Array,
    keys: jax.Array,
) -> jax.Array:
    """E‖∇D(x̃)‖² at a place between each pair."""
    places = jax.vmap(between)(keys, real, fake)
    return 2 * half_squared_gradient(discriminate, places)
