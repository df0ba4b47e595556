"""Series of real values, each step predicted from those before it by one Gaussian.

The costs of all steps are a series' exact −log density, in units of the data. Beside
the values of the step before, the model is told whether there are any: before the
first there are none, and none where a value is missing (NaN).
"""

from typing import Any

import jax
import jax.numpy as jnp

from research.encodings.frames import Predict, within
from research.errors import UserError
from research.outcomes import gaussian_draw, gaussian_outputs

OUTCOME = "vectors"


def encode(
    batch: dict[str, jax.Array], keys: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Inputs [batch, time, channels + 1], targets [batch, time, channels].

    Args:
      batch: frames float32 [batch, time, channels], and lengths [batch] where rows are
        padded; targets past them are NaN.
      keys: not used: nothing is augmented.
    """
    del keys
    frames = batch["frames"]
    if "lengths" in batch:
        frames = jnp.where(within(batch)[..., None], frames, jnp.nan)
    before = jnp.pad(frames[:, :-1], ((0, 0), (1, 0), (0, 0)), constant_values=jnp.nan)
    return seen(before), frames


def seen(before: jax.Array) -> jax.Array:
    """Values [..., channels] → [..., channels + 1], all 0 and a 1 where one is NaN."""
    missing = jnp.isnan(before).any(axis=-1, keepdims=True)
    values = jnp.where(missing, 0, before)
    return jnp.concatenate([values, missing.astype(values.dtype)], axis=-1)


def outputs_needed(dataset: Any) -> int:
    """How many numbers a model gives for a step of the data set's series.

    Raises:
      UserError: data that are no series.
    """
    shape = getattr(dataset, "SHAPE", ())
    if len(shape) != 2:
        raise UserError(
            "--task.encoding series predicts real values in steps, and the data has no "
            "SHAPE of (steps, channels): take --data.name temperatures, or another "
            "--task.encoding"
        )
    return gaussian_outputs(shape[1])


def draw_shaped(
    predict: Predict, start: Any, keys: jax.Array, shape: tuple[int, int]
) -> jax.Array:
    """Series drawn step by step, in one loop.

    Args:
      predict: inputs [series, 1, channels + 1] and a state → outputs of the next step
        and the next state.
      start: the state before the first step.
      keys: one a series; a series depends on its own key alone.
      shape: steps and channels, as the data's.

    Returns:
      float32 [series, steps, channels].
    """
    steps, channels = shape

    def one(carry, number):
        before, state = carry
        outputs, state = predict(seen(before)[:, None], state)
        here = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        noise = jax.vmap(lambda key: jax.random.normal(key, (channels,)))(here)
        drawn = gaussian_draw(outputs[:, 0], noise)
        return (drawn, state), drawn

    nothing = jnp.full((len(keys), channels), jnp.nan)
    _, drawn = jax.lax.scan(one, (nothing, start), jnp.arange(steps))
    return jnp.swapaxes(drawn, 0, 1)
