"""What the loop asks of a task."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from research.errors import UserError
from research.training.axes import BATCH

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


class Task(NamedTuple):
    """Pure functions over a task's state, any pytree with a field `step`.

    A settings class in research/tasks makes one: `build(model, optimizer, steps,
    medium)`, where `medium` is the data set's, a module of research/media.

    `init(key, batch)` → fresh state for batches of that shape.
    `step(state, batch, key)` → state, metrics. Runs under the axis
      `research.training.axes.BATCH`; `batch` holds this device's share: the arrays of
      the data set (names and shapes in `research.data`) and `position` uint32 [batch],
      each example's number since the start of training. `key` is the same on
      all devices. Randomness for an example is folded from its position, so that it
      does not depend on the number of devices.
    `evaluate(state, batch)` → metrics of each held-out example, [batch]; None where a
      task has no held-out loss.
    `draw(state, keys [samples])` → samples of the data set's medium, such as uint8
      [samples, height, width, channels], one for each key; None where a task draws
      nothing.
    `draw_shaped(state, keys, shape)` → the same, each of `shape`: in the place of
      `draw` for a task whose samples are of the data set's SHAPE, whatever that is.
    `as_drawn(samples)` → samples as near to real ones as the task's own can come
      (thresholded pictures, for a model of bits); None where they can be any.
    `parameters(state)` → number of trained parameters by network.
    `predict(state, symbols, memory)` → logits of the next symbols, memory after the
      last; `symbols` int32 [streams, time], `memory` None at the beginning. None but
      for a task that reads and writes texts, which has `begin` besides: the symbol that
      is read before the first of a text.
    `dynamic(state, seen, text)` → nats a byte of each window of a text, [windows], by a
      model that learns from each once it is scored; see `research.tasks._dynamic`. None
      but for a task of texts that was asked for it.
    `walk(state, keys, steps)` → samples [keys − 1, steps, …] on the way from each key's
      sample to the next one's, both ends included; None but for a task with noise that
      can be walked through.
    `check(dataset)` raises UserError for a data set that the task cannot learn from.
    `refuse(arrays)` raises UserError for what a split holds that the task cannot take.
    `suited(arrays)` → the task for training data of these arrays; None: it is the same
      for all.
    `needs`: entries of a training batch that not every data set of the medium has.
    `batches`: a step takes that many batches, one after another on the first axis.
    `left_out(state, batch)` → the state after a step whose update is left out because
      it is not finite, but for the number of steps; it runs as `step` does. None: the
      state stays as it was, for a task that carries nothing from batch to batch.
    """

    init: Callable[[jax.Array, Batch], Any]
    step: Callable[[Any, Batch, jax.Array], tuple[Any, Metrics]]
    evaluate: Callable[[Any, Batch], Metrics] | None
    draw: Callable[[Any, jax.Array], jax.Array] | None
    as_drawn: Callable[[jax.Array], jax.Array] | None
    parameters: Callable[[Any], dict[str, int]]
    predict: Callable[[Any, jax.Array, Any], tuple[jax.Array, Any]] | None = None
    begin: int | None = None
    batches: int = 1
    walk: Callable[[Any, jax.Array, int], jax.Array] | None = None
    check: Callable[[Any], None] | None = None
    refuse: Callable[[Any], None] | None = None
    suited: Callable[[Any], "Task"] | None = None
    needs: tuple[str, ...] = ()
    left_out: Callable[[Any, Batch], Any] | None = None
    draw_shaped: Callable[..., jax.Array] | None = None
    dynamic: Callable[[Any, jax.Array, jax.Array], jax.Array] | None = None


def example_keys(key: jax.Array, positions: jax.Array) -> jax.Array:
    """A key for each example, whatever device it is on: keys [batch]."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, positions)


def refuse_model_without(model: Any, *names: str) -> None:
    """Raises UserError for a model part that lacks one of a task's networks."""
    for name in names:
        if not hasattr(model, name):
            part = type(model).__module__
            raise UserError(
                f"the model {part} has no `{name}`, which this task trains: choose a "
                f"--model that has, or another --task"
            )


def refuse_reading_ahead(model: Any) -> None:
    """Raises UserError for a model that reads what a task of next symbols predicts."""
    if getattr(model, "bidirectional", False):
        raise UserError(
            "--model.bidirectional reads what follows, which this task predicts: leave "
            "it out"
        )


def descend(
    optimizer: optax.GradientTransformation,
    gradient: Any,
    state: optax.OptState,
    params: Any,
) -> tuple[Any, optax.OptState, jax.Array]:
    """One step along the devices' mean gradient: params, state, the gradient's norm."""
    gradient = jax.lax.pmean(gradient, BATCH)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, optax.tree.norm(gradient)


def count(parameters: Any) -> int:
    """Number of entries in a tree of arrays."""
    return sum(leaf.size for leaf in jax.tree.leaves(parameters))
