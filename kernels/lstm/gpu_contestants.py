# pyright: reportMissingImports=false
"""What gpu_bench.py times: our backends, and what people would use instead.

Each contestant gets the same: y and the last state, and for "forward+backward" the
gradient of <y, dy> for x, all weights and the initial state.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernels import measure
from kernels.lstm import gpu_measured, pallas_gpu
from kernels.lstm.cases import Shape
from kernels.lstm.op import lstm
from kernels.lstm.spec import LstmState, LstmWeights

OURS = ("pallas_gpu", "kernels.lstm.pallas_gpu_cell", "xla")
YARDSTICKS = ("xla", "torch", "jax.experimental.rnn", "flashrnn")
LAUNCHES = 4  # of a call, before it is waited for


def contestants(
    shape: Shape, dtype: str, backward: bool
) -> dict[str, Callable[[], measure.Call]]:
    """What makes each call to time; making it may fail.

    Masks and peepholes are ours alone: none of the others has all of them.
    """
    given = (shape, dtype, backward)
    calls = {name: functools.partial(_ours, name, *given) for name in OURS}
    if pallas_gpu.persistent(shape.case(dtype)) is not None:
        del calls["pallas_gpu"]  # it would be the cell once more
    if gpu_measured.kind(shape):
        return calls
    calls["torch"] = functools.partial(_torch, *given)
    if dtype == "float32":
        calls["jax.experimental.rnn"] = functools.partial(_jax_rnn, *given)
    if dtype != "float32" and importlib.util.find_spec("flashrnn"):
        calls["flashrnn"] = functools.partial(_flashrnn, *given)
    return calls


def _numbers(shape: Shape) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """x, wx and wh and b, dy: float32."""
    random = np.random.default_rng(0)

    def normal(*size: int) -> np.ndarray:
        return random.normal(size=size).astype("float32") / 16

    columns = 4 * shape.hidden
    sizes = ((shape.features, columns), (shape.hidden, columns), (columns,))
    x = normal(shape.batch, shape.time, shape.features)
    dy = normal(shape.batch, shape.time, shape.hidden)
    return x, [normal(*size) for size in sizes], dy


def _timed(call: Callable, arguments: tuple, dy: Any, backward: bool) -> measure.Call:
    def gradient(*arguments):
        (y, last), pull = jax.vjp(call, *arguments)
        return y, last, pull((dy, jax.tree.map(jnp.zeros_like, last)))

    run = jax.jit(gradient if backward else call)
    return repeated(lambda: run(*arguments), jax.block_until_ready)


def repeated(launch: Callable[[], Any], wait: Callable[[Any], Any]) -> measure.Call:
    """LAUNCHES of a call, and the result of the last one waited for."""

    def run() -> Any:
        for _ in range(LAUNCHES - 1):
            launch()
        return wait(launch())

    return run


def _ours(backend: str, shape: Shape, dtype: str, backward: bool) -> measure.Call:
    x, weights, dy = _numbers(shape)
    x, dy = jnp.asarray(x, dtype), jnp.asarray(dy, dtype)
    state = LstmState(
        jnp.zeros((shape.batch, shape.hidden), dtype),
        jnp.zeros((shape.batch, shape.hidden), jnp.float32),
    )

    own = LstmWeights(*(jnp.asarray(w, dtype) for w in weights))
    if shape.peephole:
        own = own._replace(peephole=own.wx[:3, : shape.hidden])
    masks = _masks(shape, dtype)

    def call(x, weights, state):
        return lstm(x, weights, state, backend=backend, **masks)

    return _timed(call, (x, own, state), dy, backward)


def _masks(shape: Shape, dtype: str) -> dict[str, Any]:
    """Rows of half the steps and more, a reset every 64 steps, a third dropped."""
    random = np.random.default_rng(1)
    batch, time = shape.batch, shape.time
    masks = {
        "lengths": random.integers(time // 2, time + 1, batch),
        "resets": random.random((batch, time)) < 1 / 64,
        "h_mask": (random.random((batch, shape.hidden)) < 2 / 3).astype(dtype),
    }
    return {n: jnp.asarray(mask) for n, mask in masks.items() if getattr(shape, n)}


def _jax_rnn(shape: Shape, dtype: str, backward: bool) -> measure.Call:
    from jax.experimental import rnn

    x, _, dy = _numbers(shape)
    sizes = (shape.features, shape.hidden, 1)
    weights = rnn.init_lstm_weight(jax.random.key(0), *sizes, bidirectional=False)
    lengths = jnp.full(shape.batch, shape.time, jnp.int32)
    zeros = jnp.zeros((1, shape.batch, shape.hidden))

    def call(x, weights, h, c):
        got: Any = rnn.lstm(
            x, h, c, weights, lengths, *sizes, dropout=0.0, bidirectional=False
        )
        return got[0], tuple(got[1:])

    given = (jnp.asarray(x), weights, zeros, zeros)
    return _timed(call, given, jnp.asarray(dy), backward)


def _torch(shape: Shape, dtype: str, backward: bool) -> measure.Call:
    torch = measure.yardstick("torch")
    if not torch.cuda.is_available():
        raise RuntimeError("this torch is for CPUs")
    of: dict[str, Any] = {"device": "cuda", "dtype": getattr(torch, dtype)}
    x, _, dy = _numbers(shape)
    layer = torch.nn.LSTM(shape.features, shape.hidden, batch_first=True).to(**of)
    inputs = torch.tensor(x, requires_grad=backward, **of)
    zeros = [torch.zeros(1, shape.batch, shape.hidden, **of) for _ in range(2)]
    state = tuple(a.requires_grad_(backward) for a in zeros)
    cotangent, wanted = torch.tensor(dy, **of), [inputs, *state, *layer.parameters()]

    def launch():
        with torch.set_grad_enabled(backward):
            y, _ = layer(inputs, state)
        if backward:
            torch.autograd.grad(y, wanted, cotangent)

    return repeated(launch, lambda _: torch.cuda.synchronize())


def _flashrnn(shape: Shape, dtype: str, backward: bool) -> measure.Call:
    """Its recurrence alone: x·wx is not in it."""
    torch, flash = measure.yardstick("torch"), measure.yardstick("flashrnn")
    of: dict[str, Any] = {"device": "cuda", "dtype": getattr(torch, dtype)}
    size, gates = shape.hidden, 4

    def normal(*shape: int):
        return (torch.randn(*shape, **of) / 16).requires_grad_(backward)

    xp = normal(shape.batch, shape.time, gates, 1, size)
    wh, b = normal(gates, 1, size, size), normal(gates, 1, size)

    def launch():
        y, _ = flash.flashrnn(
            xp, wh, b, function="lstm", backend="cuda_fused", dtype=dtype
        )
        if backward:
            torch.autograd.grad(y.sum(), [xp, wh, b])

    return repeated(launch, lambda _: torch.cuda.synchronize())
