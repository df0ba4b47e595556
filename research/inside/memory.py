"""How far back a language model remembers: its loss's gradient by distance.

The loss of one symbol is differentiated in what the lowest layer read before it. The
gradient's norm at a distance of d symbols, the mean over texts, says how much that
symbol d steps back could still change (Hochreiter 1991, Bengio 1994: in a plain
recurrent network it falls to nothing within tens of steps).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from research.inside.gates import layer_input, logits_of
from research.outcomes import cross_entropy


def by_distance(module: nn.Module, params: Any, texts: jax.Array) -> np.ndarray:
    """Mean norm of the gradient of the last symbol's loss, by distance: [time − 1].

    Args:
      module, params: see `gates.read`.
      texts: int32 [texts, time]; the last symbol of each is predicted.

    Returns:
      Norms at distances 1, 2, …: the first is of the symbol just before the predicted.
    """
    inputs, last = texts[:, :-1], texts[:, -1]

    def loss(x):
        logits = logits_of(module, params, inputs, x)
        return jnp.sum(cross_entropy(logits[:, -1], last))  # of each text by itself

    gradient = jax.jit(jax.grad(loss))(layer_input(module, params, inputs))
    return np.asarray(jnp.linalg.norm(gradient, axis=-1).mean(axis=0)[::-1])


def reach(norms: np.ndarray, share: float) -> int:
    """The distance within which that share of all gradient lies."""
    within = np.cumsum(norms) / norms.sum()
    return int(np.searchsorted(within, share) + 1)
