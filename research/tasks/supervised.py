"""Predicting a symbol from known ones: labels of sequences, pixels or pictures."""

import dataclasses
from types import ModuleType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from research import parts
from research.errors import UserError
from research.optimizers import Optimizer
from research.task import (
    Batch,
    Metrics,
    Task,
    count,
    example_keys,
    refuse_model_without,
)
from research.training.axes import BATCH


@dataclasses.dataclass(frozen=True)
class Supervised:
    """Settings of a supervised problem."""

    encoding: str = "rows"
    """a file in research/encodings, or package.module of a fork"""
    label_smoothing: float = 0.0
    """share of the target that is spread over all classes (Szegedy 2016)"""

    def build(
        self,
        model: Any,
        optimizer: Optimizer,
        steps: int,
        medium: ModuleType | None = None,
    ) -> Task:
        """The task for a model part with `module()`; its encoding knows the medium."""
        del medium
        if not 0 <= self.label_smoothing < 1:
            raise UserError(
                f"--task.label-smoothing is {self.label_smoothing}: a share lies "
                f"in [0, 1)"
            )
        refuse_model_without(model, "module")
        encoding = parts.find("research.encodings", self.encoding)
        learner = Learner(self, model.module(), encoding, optimizer.build(steps))
        return Task(
            init=learner.init,
            step=learner.step,
            evaluate=learner.evaluate,
            draw=learner.draw if hasattr(encoding, "draw") else None,
            as_drawn=getattr(encoding, "as_drawn", None),
            parameters=_parameters,
        )


class SupervisedState(NamedTuple):
    """Everything that a step reads and changes."""

    step: jax.Array  # steps done, uint32
    params: Any
    stats: Any  # BatchNorm's running statistics, {} without any
    optimizer: optax.OptState


@dataclasses.dataclass(frozen=True)
class Learner:
    """The pure functions of a supervised task; its fields are settings, never state.

    The module maps (inputs, train) to (logits, last state); a recurrent one also takes
    `state` and has `start(pictures)`.
    """

    config: Supervised
    module: nn.Module
    encoding: ModuleType
    optimizer: optax.GradientTransformation

    def init(self, key: jax.Array, batch: Batch) -> SupervisedState:
        """A fresh network for batches of this shape."""
        inputs, _ = self.encoding.encode(batch, None)
        variables = self.module.init(key, inputs, train=False)
        params = variables["params"]
        stats = variables.get("batch_stats", {})
        return SupervisedState(
            jnp.uint32(0), params, stats, self.optimizer.init(params)
        )

    def step(
        self, state: SupervisedState, batch: Batch, key: jax.Array
    ) -> tuple[SupervisedState, Metrics]:
        """One update on the devices' mean gradient."""
        inputs, targets = self.encoding.encode(
            batch, example_keys(key, batch["position"])
        )

        def loss(params):
            (logits, _), updated = self.module.apply(
                {"params": params, "batch_stats": state.stats},
                inputs,
                train=True,
                mutable=["batch_stats"],
            )
            losses = cross_entropy(logits, targets, self.config.label_smoothing)
            return jnp.mean(losses), (logits, updated.get("batch_stats", {}))

        (value, (logits, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(
            state.params
        )
        gradient = jax.lax.pmean(gradient, BATCH)
        updates, optimizer = self.optimizer.update(
            gradient, state.optimizer, state.params
        )
        params = optax.apply_updates(state.params, updates)
        metrics = {
            "loss": value,
            "accuracy": jnp.mean(correct(logits, targets)),
            "gradient_norm": optax.tree.norm(gradient),
        }
        return SupervisedState(state.step + 1, params, stats, optimizer), metrics

    def evaluate(self, state: SupervisedState, batch: Batch) -> Metrics:
        """Each example's mean over its targets: loss in nats, accuracy [batch]."""
        inputs, targets = self.encoding.encode(batch, None)
        logits = self._predict(state, inputs)[0]
        right = correct(logits, targets).reshape(len(targets), -1)
        losses = cross_entropy(logits, targets).reshape(right.shape)
        metrics = {"loss": losses.mean(axis=1), "accuracy": right.mean(axis=1)}
        if targets.ndim > 1:
            metrics["last_step_accuracy"] = right[:, -1]
        return metrics

    def draw(self, state: SupervisedState, keys: jax.Array) -> jax.Array:
        """One picture for each key, symbol by symbol."""

        def predict(inputs, memory):
            return self._predict(state, inputs, state=memory)

        start = self.module.start(len(keys))  # type: ignore[attr-defined]
        return self.encoding.draw(predict, start, keys)

    def _predict(
        self, trained: SupervisedState, inputs: jax.Array, **memory: Any
    ) -> Any:
        variables = {"params": trained.params, "batch_stats": trained.stats}
        return self.module.apply(variables, inputs, train=False, **memory)


def cross_entropy(
    logits: jax.Array, targets: jax.Array, smoothing: float = 0.0
) -> jax.Array:
    """−log p(target) in nats, of the shape of `targets`."""
    wanted = optax.smooth_labels(jax.nn.one_hot(targets, logits.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(logits, wanted)


def correct(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """1.0 where the target has the largest logit, else 0.0; shape of `targets`."""
    return (jnp.argmax(logits, axis=-1) == targets).astype(jnp.float32)


def _parameters(state: SupervisedState) -> dict[str, int]:
    return {"model": count(state.params)}
