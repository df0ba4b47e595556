"""Predicting what an encoding asks for: labels, symbols, frames, numbers, vectors."""

import dataclasses
import functools
from types import ModuleType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from research import parts
from research.accumulation import accumulated
from research.optimizers import Optimizer
from research.outcomes import OUTCOMES, Outcome
from research.task import (
    Batch,
    Metrics,
    Task,
    count,
    descend,
    example_keys,
    refuse_model_without,
    refuse_reading_ahead,
)
from research.tasks._fitting import Entries, refuse_data, refuse_smoothing
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
        refuse_model_without(model, "module")
        encoding = parts.find("research.encodings", self.encoding)
        draws, draws_shaped = (
            hasattr(encoding, name) for name in ("draw", "draw_shaped")
        )
        if draws or draws_shaped:
            refuse_reading_ahead(model)
        outcome = getattr(encoding, "OUTCOME", "symbols")
        outcome = OUTCOMES[outcome] if isinstance(outcome, str) else outcome
        refuse_smoothing(self.label_smoothing, self.encoding, outcome)
        learner = Learner(
            self,
            model.module(),
            encoding,
            outcome,
            optimizer.build(steps),
            optimizer.accumulate,
        )
        return Task(
            init=learner.init,
            step=learner.step,
            evaluate=learner.evaluate,
            draw=learner.draw if draws else None,
            draw_shaped=learner.draw_shaped if draws_shaped else None,
            as_drawn=getattr(encoding, "as_drawn", None),
            parameters=_parameters,
            check=functools.partial(refuse_data, model, encoding),
            refuse=getattr(encoding, "refuse", None),
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
    outcome: Outcome
    optimizer: optax.GradientTransformation
    shares: int = 1  # of a device's batch, see research.accumulation

    def init(self, key: jax.Array, batch: Batch) -> SupervisedState:
        """A fresh network for batches of this shape."""
        inputs, _ = self.encoding.encode(Entries(batch, self.encoding), None)
        variables = self.module.init(key, inputs, train=False)
        params = variables["params"]
        stats = variables.get("batch_stats", {})
        return SupervisedState(
            jnp.uint32(0), params, stats, self.optimizer.init(params)
        )

    def step(
        self, state: SupervisedState, batch: Batch, key: jax.Array
    ) -> tuple[SupervisedState, Metrics]:
        """One update on the mean gradient over the scored targets of all devices."""
        inputs, targets = self.encoding.encode(
            batch, example_keys(key, batch["position"])
        )
        noise = jax.random.fold_in(key, jax.lax.axis_index(BATCH))

        def loss(params, stats, inputs, targets, noise):
            (outputs, _), updated = self.module.apply(
                {"params": params, "batch_stats": stats},
                inputs,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": noise},
            )
            outputs = at_targets(outputs, targets)
            smoothing = self.config.label_smoothing
            losses, scored = self.outcome.losses(outputs, targets, smoothing)
            # Of all devices' targets: they may hold different numbers of them.
            each = jax.lax.pmean(jnp.sum(scored), BATCH)
            told = {
                name: jnp.sum(values * scored) / each
                for name, values in self.outcome.measures(outputs, targets).items()
            }
            stats = updated.get("batch_stats", {})
            return jnp.sum(losses) / each, (told, stats, each)

        def gradient_of(number, stats, examples):
            own = noise if self.shares == 1 else jax.random.fold_in(noise, number)
            (value, (told, stats, each)), gradient = jax.value_and_grad(
                loss, has_aux=True
            )(state.params, stats, *examples, own)
            return each, gradient, stats, {"loss": value} | told

        gradient, stats, told = accumulated(
            self.shares, gradient_of, state.stats, (inputs, targets)
        )
        params, optimizer, norm = descend(
            self.optimizer, gradient, state.optimizer, state.params
        )
        metrics = told | {"gradient_norm": norm}
        return SupervisedState(state.step + 1, params, stats, optimizer), metrics

    def evaluate(self, state: SupervisedState, batch: Batch) -> Metrics:
        """Each example's mean over its scored targets, in nats for a likelihood.

        `targets` is how many those are, where examples can differ in it.
        """
        inputs, targets = self.encoding.encode(batch, None)
        outputs = at_targets(self._predict(state, inputs)[0], targets)
        losses, scored = self.outcome.losses(outputs, targets, 0.0)
        found = {"loss": losses} | self.outcome.measures(outputs, targets)
        rows = scored.reshape(len(scored), -1)
        count = rows.sum(axis=1)
        metrics = {
            name: jnp.sum(values.reshape(rows.shape) * rows, 1) / jnp.maximum(count, 1)
            for name, values in found.items()
        }
        if "accuracy" in found and scored.ndim > 1 and scored.shape[1] > 1:
            metrics["last_step_accuracy"] = found["accuracy"][:, -1]
        if hasattr(self.encoding, "measure"):
            metrics |= self.encoding.measure(outputs, targets)
        return metrics | {"targets": count}

    def draw(self, state: SupervisedState, keys: jax.Array) -> jax.Array:
        """One sample for each key, step by step."""
        return self.encoding.draw(*self._from_the_start(state, keys), keys)

    def draw_shaped(
        self, state: SupervisedState, keys: jax.Array, shape: tuple[int, ...]
    ) -> jax.Array:
        """The same, each sample of `shape`."""
        how = self._from_the_start(state, keys)
        return self.encoding.draw_shaped(*how, keys, shape)

    def _from_the_start(self, state: SupervisedState, keys: jax.Array) -> Any:
        """`predict(inputs, memory)` of the trained model, and its first memory."""

        def predict(inputs, memory):
            return self._predict(state, inputs, state=memory)

        return predict, self.module.start(len(keys))  # type: ignore[attr-defined]

    def _predict(
        self, trained: SupervisedState, inputs: jax.Array, **memory: Any
    ) -> Any:
        variables = {"params": trained.params, "batch_stats": trained.stats}
        return self.module.apply(variables, inputs, train=False, **memory)


def at_targets(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """The outputs of the last steps, as many as there are targets.

    A picture's one label and a sequence's few targets stand at the end.
    """
    if outputs.ndim < 3 or targets.ndim < 2:
        return outputs
    return outputs[:, outputs.shape[1] - targets.shape[1] :]


def _parameters(state: SupervisedState) -> dict[str, int]:
    return {"model": count(state.params)}
