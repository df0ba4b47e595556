"""A network as a player: what it carries from step to step, and how it moves."""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from research.errors import UserError
from research.models import _spectral as spectral
from research.training.axes import BATCH


class Past(NamedTuple):
    """The mean of all weights so far, the present ones included."""

    number: jax.Array  # of weights that it is the mean of
    mean: Any


class Net(NamedTuple):
    """One network while it trains."""

    params: Any
    stats: Any  # BatchNorm's running statistics, {} without any
    optimizer: optax.OptState
    spectral: Any = {}  # noqa: RUF012 # spectral norm's vectors, {} without any
    past: Past | None = None  # None without historical averaging


@dataclasses.dataclass(frozen=True)
class Player:
    """A network with its optimizer and its own remedies; pure functions of a `Net`."""

    module: nn.Module
    optimizer: optax.GradientTransformation
    historical_averaging: float = 0.0
    clip_weights: float | None = None

    def init(self, key: jax.Array, *inputs: jax.Array) -> Net:
        """A fresh network for inputs of these shapes."""
        variables = self.module.init(key, *inputs, train=False)
        params = variables["params"]
        vectors = variables.get(spectral.COLLECTION, {})
        past = None
        if self.historical_averaging:
            # A copy: the loop donates the state, and no buffer may be donated twice.
            past = Past(jnp.ones(()), jax.tree.map(jnp.copy, params))
        return Net(
            params,
            variables.get("batch_stats", {}),
            self.optimizer.init(params),
            spectral.warmed(params, vectors),
            past,
        )

    def evaluate(self, net: Net, *inputs: jax.Array) -> jax.Array:
        """Outputs by the running statistics."""
        return self.module.apply(_variables(net), *inputs, train=False)  # type: ignore[return-value]

    def output_shape(self, net: Net, *inputs: jax.Array) -> tuple[int, ...]:
        """Shape of the outputs, without computing them, as one of a step's devices."""
        run = jax.vmap(lambda *inputs: self.evaluate(net, *inputs), axis_name=BATCH)
        return jax.eval_shape(run, *(leaf[None] for leaf in inputs)).shape[1:]

    def train(self, net: Net, *inputs: jax.Array, **how: Any) -> tuple[jax.Array, Any]:
        """Outputs by the batch's own statistics, and new running ones.

        `how` goes to the module by name: `progress`, the share of the run's steps that
        are done, to one with `anneals = True`.
        """
        outputs, updated = self._apply(net, *inputs, **how)
        return outputs, updated.get("batch_stats", {})

    def features(self, net: Net, *inputs: jax.Array) -> jax.Array:
        """What the module sows as `features`, by the batch's own statistics.

        Raises:
          UserError: it sows none.
        """
        _, updated = self._apply(net, *inputs)
        if "features" not in updated.get("intermediates", {}):
            raise UserError(
                f"feature matching needs self.sow('intermediates', 'features', …) in "
                f"{type(self.module).__module__}: choose another --model, or "
                f"--task.generator-objective loss"
            )
        return updated["intermediates"]["features"][0]

    def descend(self, net: Net, gradient: Any) -> tuple[Net, jax.Array]:
        """After one step along the devices' mean gradient; and that gradient's norm."""
        gradient = jax.lax.pmean(gradient, BATCH)
        norm = optax.tree.norm(gradient)
        if net.past is not None:
            gradient = self._toward(net.past, net.params, gradient)
        updates, optimizer = self.optimizer.update(gradient, net.optimizer, net.params)
        params = optax.apply_updates(net.params, updates)
        if self.clip_weights is not None:
            # Arjovsky 2017, algorithm 1, line 7
            params = optax.tree.clip(params, -self.clip_weights, self.clip_weights)
        vectors = spectral.advance(params, net.spectral)
        past = None if net.past is None else _later(net.past, params)
        return Net(params, net.stats, optimizer, vectors, past), norm

    def _apply(self, net: Net, *inputs: jax.Array, **how: Any) -> tuple[Any, Any]:
        mutable = ["batch_stats", "intermediates"]
        return self.module.apply(
            _variables(net), *inputs, train=True, mutable=mutable, **how
        )

    def _toward(self, past: Past, params: Any, gradient: Any) -> Any:
        """With that of ‖θ − mean θ‖² (Salimans 2016, section 3.3)."""
        weight = 2 * self.historical_averaging
        return jax.tree.map(
            lambda g, now, mean: g + weight * (now - mean), gradient, params, past.mean
        )


def _variables(net: Net) -> dict[str, Any]:
    return {
        "params": net.params,
        "batch_stats": net.stats,
        spectral.COLLECTION: net.spectral,
    }


def _later(past: Past, params: Any) -> Past:
    number = past.number + 1
    return Past(number, optax.incremental_update(params, past.mean, 1 / number))
