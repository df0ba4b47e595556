"""A network as a player: what it carries from step to step, and how it moves."""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import optax

from research.training.axes import BATCH


class Net(NamedTuple):
    """One network while it trains."""

    params: Any
    stats: Any  # BatchNorm's running statistics, {} without any
    optimizer: optax.OptState


@dataclasses.dataclass(frozen=True)
class Player:
    """A network with its optimizer; pure functions of a `Net`."""

    module: nn.Module
    optimizer: optax.GradientTransformation

    def init(self, key: jax.Array, *inputs: jax.Array) -> Net:
        """A fresh network for inputs of these shapes."""
        variables = self.module.init(key, *inputs, train=False)
        params = variables["params"]
        stats = variables.get("batch_stats", {})
        return Net(params, stats, self.optimizer.init(params))

    def evaluate(self, net: Net, *inputs: jax.Array) -> jax.Array:
        """Outputs by the running statistics."""
        variables = {"params": net.params, "batch_stats": net.stats}
        return self.module.apply(variables, *inputs, train=False)  # type: ignore[return-value]

    def train(self, net: Net, *inputs: jax.Array) -> tuple[jax.Array, Any]:
        """Outputs by the batch's own statistics, and new running ones."""
        variables = {"params": net.params, "batch_stats": net.stats}
        outputs, updated = self.module.apply(
            variables, *inputs, train=True, mutable=["batch_stats"]
        )
        return outputs, updated.get("batch_stats", {})  # type: ignore[return-value]

    def descend(self, net: Net, gradient: Any) -> tuple[Net, jax.Array]:
        """After one step along the devices' mean gradient; and that gradient's norm."""
        gradient = jax.lax.pmean(gradient, BATCH)
        updates, optimizer = self.optimizer.update(gradient, net.optimizer, net.params)
        params = optax.apply_updates(net.params, updates)
        net = net._replace(params=params, optimizer=optimizer)
        return net, optax.tree.norm(gradient)
