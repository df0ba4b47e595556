"""Predicting the next byte of a text, the state carried along (truncated BPTT).

The gradient goes back over the window of a step, the state goes on from step to step:
each row of a batch continues the stream of the row before (Mikolov 2010, Zaremba 2014).
The carried state is part of the training state, so that a resumed run is the same run.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from research.accumulation import accumulated
from research.errors import UserError
from research.optimizers import Optimizer
from research.outcomes import correct, cross_entropy
from research.sampling import Sampling, continue_streams
from research.task import (
    Batch,
    Metrics,
    Task,
    count,
    descend,
    refuse_model_without,
    refuse_reading_ahead,
)
from research.tasks import _dynamic, _texts
from research.tasks._streams import kept, recalled, restarted
from research.tasks._texts import BEGIN, begin_of
from research.training.axes import BATCH


@dataclasses.dataclass(frozen=True)
class Language:
    """Settings of a language model."""

    carry: bool = True
    """the state goes on from a step to the next; False starts each window at zero"""
    restart: float = 0.0
    """share of windows that start at zero all the same, as texts do that are drawn or
    held out (Melis 2018 has 0.01): what only ever went on may run away from there"""
    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    """how the samples of checkpoints and of the final metrics are drawn"""
    draw_length: int = 200
    """bytes of each of those samples"""
    dynamic_rate: float = 0.0
    """of weights that go on learning while the held-out text, or its first 250,000
    bytes, is read in order, which the final metrics then tell besides (Krause 2018); 0
    leaves it out"""

    def build(
        self,
        model: Any,
        optimizer: Optimizer,
        steps: int,
        medium: ModuleType | None = None,
    ) -> Task:
        """The task for a model part with `module()` that reads symbols.

        Raises:
          UserError: settings that draw nothing, data that is no text, or a model that
            reads what it predicts.
        """
        self.sampling.refuse_wrong("--task.sampling.")
        if not 0 <= self.restart <= 1:
            raise UserError(f"--task.restart is {self.restart}: a share lies in [0, 1]")
        if not 0 <= self.dynamic_rate < math.inf:
            raise UserError(
                f"--task.dynamic-rate is {self.dynamic_rate}: give a finite number, 0 "
                f"or more"
            )
        if self.draw_length < 1:
            raise UserError(f"--task.draw-length is {self.draw_length}: give 1 or more")
        if medium is not None and medium.ENTRY != "tokens":
            raise UserError(
                f"the task language reads symbols, the data is of "
                f"{medium.__name__.rpartition('.')[2]}: take a --data.name of text"
            )
        refuse_model_without(model, "module")
        refuse_reading_ahead(model)
        learner = Reader(
            self, model.module(), optimizer.build(steps), optimizer.accumulate
        )
        return learner.task(functools.partial(_texts.refuse, model, self.dynamic_rate))


class LanguageState(NamedTuple):
    """Everything that a step reads and changes."""

    step: jax.Array  # steps done, uint32
    params: Any
    optimizer: optax.OptState
    memory: Any  # the model's state of every stream of the batch, on all devices


@dataclasses.dataclass(frozen=True)
class Reader:
    """The pure functions of a language model; its fields are settings, never state.

    The module maps (symbols int32 [batch, time], train, state) to (logits [batch,
    time, symbols], last state) and has `start(streams)`, its zero state, every leaf
    with the streams first.
    """

    config: Language
    module: nn.Module
    optimizer: optax.GradientTransformation
    shares: int = 1  # of a device's batch, see research.accumulation
    begin: int = BEGIN  # the symbol before the first that is drawn

    def task(self, check: Callable[[Any], None]) -> Task:
        """These functions as the loop takes them."""

        def suited(arrays: Mapping[str, np.ndarray]) -> Task:
            begin = begin_of(arrays["text"]) if "text" in arrays else BEGIN
            return dataclasses.replace(self, begin=begin).task(check)

        return Task(
            init=self.init,
            step=self.step,
            evaluate=self.evaluate,
            draw=self.draw,
            as_drawn=None,
            parameters=lambda state: {"model": count(state.params)},
            predict=self.predict,
            begin=self.begin,
            check=check,
            suited=suited,
            needs=("row", "fresh"),
            left_out=self.left_out,
            dynamic=self.dynamic if self.config.dynamic_rate else None,
        )

    def init(self, key: jax.Array, batch: Batch) -> LanguageState:
        """A fresh network, and the zero state of all devices' streams."""
        tokens = batch["tokens"]
        params = self.module.init(key, tokens[:, :-1], train=False)["params"]
        memory = self._start(len(tokens) * jax.device_count())
        return LanguageState(jnp.uint32(0), params, self.optimizer.init(params), memory)

    def step(
        self, state: LanguageState, batch: Batch, key: jax.Array
    ) -> tuple[LanguageState, Metrics]:
        """One update on the devices' mean gradient over the windows of this step."""
        noise = jax.random.fold_in(key, jax.lax.axis_index(BATCH))
        if self.config.restart:
            again = restarted(key, batch["row"], self.config.restart)
            batch = batch | {"fresh": batch["fresh"] | again}

        def loss(params, memory, batch, noise):
            inputs, targets = batch["tokens"][:, :-1], batch["tokens"][:, 1:]
            before = self._recalled(memory, batch)
            logits, after = self.module.apply(
                {"params": params},
                inputs,
                train=True,
                state=before,
                rngs={"dropout": noise},
            )
            losses = cross_entropy(logits, targets)
            return jnp.mean(losses), (after, jnp.mean(correct(logits, targets)))

        def gradient_of(number, memory, batch):
            own = noise if self.shares == 1 else jax.random.fold_in(noise, number)
            (value, (after, right)), gradient = jax.value_and_grad(loss, has_aux=True)(
                state.params, memory, batch, own
            )
            memory = kept(memory, after, batch["row"])
            return 1.0, gradient, memory, {"loss": value, "accuracy": right}

        gradient, memory, told = accumulated(
            self.shares, gradient_of, state.memory, batch
        )
        params, optimizer, norm = descend(
            self.optimizer, gradient, state.optimizer, state.params
        )
        state = LanguageState(state.step + 1, params, optimizer, memory)
        return state, told | {"gradient_norm": norm}

    def left_out(self, state: LanguageState, batch: Batch) -> LanguageState:
        """Nothing learned, and zero for each stream that begins in this batch.

        The next step would go on with the stream before. Within a stream its state
        stays: the text goes on a window later.
        """
        before = self._recalled(state.memory, batch)
        return state._replace(memory=kept(state.memory, before, batch["row"]))

    def evaluate(self, state: LanguageState, batch: Batch) -> Metrics:
        """Of each held-out window, from the zero state, after its context."""
        inputs, targets = batch["tokens"][:, :-1], batch["tokens"][:, 1:]
        logits, _ = self.predict(state, inputs, self._start(len(inputs)))
        scored = batch.get("scored", jnp.ones(targets.shape, bool))
        number = scored.sum(axis=1)
        losses = cross_entropy(logits, targets)
        return {
            "loss": jnp.sum(losses * scored, axis=1) / number,
            "accuracy": jnp.sum(correct(logits, targets) * scored, axis=1) / number,
        }

    def dynamic(
        self, state: LanguageState, seen: jax.Array, text: jax.Array
    ) -> jax.Array:
        """See `_dynamic.read`."""

        def cost(params, tokens, memory):
            now = state._replace(params=params)
            logits, memory = self.predict(now, tokens[:, :-1], memory)
            return jnp.mean(cross_entropy(logits, tokens[:, 1:])), memory

        rate = self.config.dynamic_rate
        return _dynamic.read(cost, state.params, self._start(1), seen, text, rate)

    def draw(self, state: LanguageState, keys: jax.Array) -> jax.Array:
        """A text of `draw_length` for each key, after `begin`."""
        begin = jnp.full(len(keys), self.begin, jnp.int32)
        texts, _ = continue_streams(
            lambda symbols, memory: self.predict(state, symbols, memory),
            keys,
            begin,
            self._start(len(keys)),
            0,
            self.config.draw_length,
            self.config.sampling,
        )
        return texts

    def predict(
        self, trained: LanguageState, symbols: jax.Array, memory: Any = None
    ) -> tuple[jax.Array, Any]:
        """Logits of what follows each symbol, and the state after the last."""
        memory = self._start(len(symbols)) if memory is None else memory
        return self.module.apply(  # type: ignore[return-value]
            {"params": trained.params}, symbols, train=False, state=memory
        )

    def _start(self, streams: int) -> Any:
        return self.module.start(streams)  # type: ignore[attr-defined]

    def _recalled(self, memory: Any, batch: Batch) -> Any:
        fresh = self._start(len(batch["row"]))
        return recalled(memory, fresh, batch) if self.config.carry else fresh
