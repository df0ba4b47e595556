"""The gates and cells of every LSTM layer of a model while it reads."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from kernels import LstmState, LstmWeights
from kernels.lstm import cell
from kernels.lstm.product import dot
from research.errors import UserError
from research.layers.lstm import LstmLayer

OPEN, CLOSED = 0.9, 0.1  # of a gate: saturated above and below (Karpathy 2015)


class Inside(NamedTuple):
    """What one layer did at every step of one text."""

    i: jax.Array  # gates in (0, 1): [time, hidden]
    f: jax.Array
    o: jax.Array
    cell: jax.Array  # tanh(c) after the step, [time, hidden]


def read(module: nn.Module, params: Any, symbols: jax.Array) -> list[Inside]:
    """Each LSTM layer's gates and cells, the lowest layer first.

    Args:
      module: maps (symbols, train) to (logits, state); its recurrent layers are
        `LstmLayer`s one above the other, without normalisation, zoneout or projection.
      params: of it.
      symbols: int32 [time].

    Raises:
      UserError: no such layers.
    """
    x = layer_input(module, params, symbols[None])[0]
    found = []
    for weights in layers(params):
        traced = _run(weights, x)
        x = traced.o * traced.cell
        found.append(traced)
    return found


def layer_input(module: nn.Module, params: Any, symbols: jax.Array) -> jax.Array:
    """What the lowest LSTM layer reads, [batch, time, features]."""
    seen: list[jax.Array] = []

    def record(call, args, kwargs, context):
        if _is_lstm(context) and not seen:
            _refuse_other_equations(context.module)
            seen.append(args[0])
        return call(*args, **kwargs)

    with nn.intercept_methods(record):
        module.apply({"params": params}, symbols, train=False)
    if not seen:
        raise UserError(
            "the model has no LSTM layer of research.layers.lstm to look into: take a "
            "run of lstm or stacked_lstm"
        )
    return seen[0]


def logits_of(module: nn.Module, params: Any, symbols: jax.Array, x: jax.Array):
    """The logits with another input of the lowest LSTM layer, differentiable in it."""
    replaced: list[bool] = []

    def replace(call, args, kwargs, context):
        if _is_lstm(context) and not replaced:
            replaced.append(True)
            return call(x, *args[1:], **kwargs)
        return call(*args, **kwargs)

    with nn.intercept_methods(replace):
        return module.apply({"params": params}, symbols, train=False)[0]


def layers(params: Any) -> Iterator[LstmWeights]:
    """The weights of each LSTM layer, those of a scanned stack taken apart."""
    for group in _groups(params):
        names = ("wx", "wh", "b", "peephole")
        leaves = {name: group[name] for name in names if name in group}
        if leaves["b"].ndim == 1:
            yield LstmWeights(**leaves)
            continue
        for layer in range(len(leaves["b"])):
            yield LstmWeights(**{name: leaf[layer] for name, leaf in leaves.items()})


def saturation(gate: jax.Array) -> tuple[float, float]:
    """Shares of values in [0, 1] that are saturated above (> 0.9) and below (< 0.1)."""
    return float(jnp.mean(gate > OPEN)), float(jnp.mean(gate < CLOSED))


def _run(weights: LstmWeights, x: jax.Array) -> Inside:
    """The equations of kernels/lstm/spec.py for one text, x [time, features]."""
    zeros = jnp.zeros(weights.wh.shape[0])

    def step(state: LstmState, x):
        z = dot(x, weights.wx) + dot(state.h, weights.wh) + weights.b
        gates, c = cell.activate(z, state.c, weights.peephole)
        i, f, _, o = jnp.split(gates, 4)
        after = LstmState(cell.output(gates, c), c)
        return after, Inside(i, f, o, jnp.tanh(c))

    return jax.lax.scan(step, LstmState(zeros, zeros), x)[1]


def _groups(params: Any) -> Iterator[Mapping[str, Any]]:
    """The parameters of LSTM layers in a tree, in the order of their names."""
    if not isinstance(params, Mapping):
        return
    if {"wx", "wh", "b"} <= set(params):
        yield params
        return
    for name in sorted(params):
        yield from _groups(params[name])


def _refuse_other_equations(layer: LstmLayer) -> None:
    """Raises UserError for a layer of other equations than `_run`'s."""
    for field in ("projection", "layer_norm", "zoneout_h", "zoneout_c"):
        if value := getattr(layer, field):
            raise UserError(
                f"the model has --model.{field.replace('_', '-')} {value}: gates and "
                f"cells are shown of LSTM layers without it"
            )


def _is_lstm(context: Any) -> bool:
    return isinstance(context.module, LstmLayer) and context.method_name == "__call__"
