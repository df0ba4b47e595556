"""Ways between noise vectors, for pictures that change step by step."""

import jax
import jax.numpy as jnp


def between(first: jax.Array, second: jax.Array, steps: int) -> jax.Array:
    """Points on the great circle from each vector to its partner, both ends included.

    On the straight line they would come too near the centre, where normal noise of
    many dimensions never lies (White 2016).

    Args:
      first: [ways, latent], where each way begins.
      second: [ways, latent], where it ends.
      steps: points of a way, 2 or more.

    Returns:
      [ways, steps, latent]; the ends are the given vectors to the bit.
    """
    lengths = [jnp.linalg.norm(v, axis=-1, keepdims=True) for v in (first, second)]
    cosine = jnp.sum(first * second, -1, keepdims=True) / (lengths[0] * lengths[1])
    # Parallel vectors have no circle between them: a straight line there.
    angle = jnp.arccos(jnp.clip(cosine, -1 + 1e-6, 1 - 1e-6))[:, None]
    t = jnp.linspace(0, 1, steps)[None, :, None]
    left, right = (jnp.sin(part * angle) / jnp.sin(angle) for part in (1 - t, t))
    return left * first[:, None] + right * second[:, None]
