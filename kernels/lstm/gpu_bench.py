# pyright: reportMissingImports=false
"""The LSTM on a real GPU beside what people would use instead; the search for cuts.

A call lasts milliseconds and is waited for: what the host adds to it is its launch.
Each contestant gets the same: y and the last state, and for "forward+backward" the
gradient of <y, dy> for x, all weights and the initial state.
"""

import functools
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels import measure
from kernels.lstm import gpu_measured, gpu_sweeps, gpu_tiles, pallas_gpu
from kernels.lstm.backend import Core
from kernels.lstm.cases import Shape
from kernels.lstm.gpu_tiles import Card, Cut, Sweep
from kernels.lstm.op import lstm
from kernels.lstm.spec import LstmState, LstmWeights, Masks

WHAT = ("forward", "forward+backward")
OURS = ("pallas_gpu", "kernels.lstm.pallas_gpu_cell", "xla")
YARDSTICKS = ("xla", "torch", "jax.experimental.rnn", "flashrnn")
RUNS = 20
# The first is what cuDNN's persistent kernel and FlashRNN have published figures for.
SIZES = (
    (768, 16, 1024),
    (512, 64, 128),
    (1024, 64, 1024),
    (256, 16, 1024),
    (1024, 16, 128),
    (512, 16, 1024),
    (256, 64, 128),
    (128, 16, 1024),
    (1024, 256, 128),
)


class Speed(NamedTuple):
    """Published peaks of one card."""

    narrow: float  # multiply-adds × 2 a second, bfloat16 or float16, dense
    full: float  # the same in float32, without tensor cores
    shared: float  # bytes a second out of all shared memory


# H100 SXM data sheet; 132 multiprocessors × 128 bytes × 1.755 GHz.
SPEEDS = {
    "NVIDIA H100 80GB HBM3": Speed(989e12, 67e12, 132 * 128 * 1.755e9),
    "NVIDIA H200": Speed(989e12, 67e12, 132 * 128 * 1.755e9),
}


def shapes() -> Iterator[tuple[Shape, str]]:
    """What is timed, the most telling first."""
    for hidden, batch, time in SIZES:
        shape = Shape(f"h{hidden}_b{batch}_t{time}", time, batch, hidden, hidden)
        yield shape, "bfloat16"
        if batch == 16 and hidden in (512, 768):
            yield shape, "float16"
            yield shape, "float32"


def bound(shape: Shape, dtype: str, what: str, device: str) -> float | None:
    """Microseconds that no step can take less than; None for a card we know not.

    The larger of the product's arithmetic and of reading wh out of shared memory, for
    each sweep. Waiting of blocks for each other and all else is what is above it.
    """
    speed = SPEEDS.get(device)
    if speed is None:
        return None
    itemsize = jnp.dtype(dtype).itemsize
    work = 8 * shape.batch * shape.hidden**2
    peak = speed.full if itemsize == 4 else speed.narrow
    read = 4 * shape.hidden**2 * itemsize
    sweeps = 1 if what == WHAT[0] else 2
    return 1e6 * sweeps * max(work / peak, read / speed.shared)


def rows(shape: Shape, dtype: str, device: str, runs: int = RUNS):
    """One row for each contestant that can, forward and forward+backward."""
    for what in WHAT:
        calls, failed = working(contestants(shape, dtype, what == WHAT[1]))
        taken = measure.interleaved(calls, runs)
        for backend in calls:
            others = tuple(y for y in YARDSTICKS if y in calls and y != backend)
            row = measure.row("rented-gpu", str(shape), backend, what, taken, others)
            yield per_step(row, shape, dtype, bound(shape, dtype, what, device))
        for backend, reason in failed.items():
            head = {"bench": "rented-gpu", "case": str(shape), "backend": backend}
            head |= {"what": what, "dtype": dtype, "failed": reason}
            yield head | _sizes(shape)


def per_step(
    row: dict[str, Any], shape: Shape, dtype: str, least: float | None
) -> dict[str, Any]:
    """A row in microseconds a step, with its sizes and its share of the bound."""
    times = {q: 1e3 * row[q] / shape.time for q in ("median", "q25", "q75")}
    share = None if least is None else least / times["median"]
    more = {"dtype": dtype, "unit": "us/step", "bound": least, "share": share}
    return row | times | _sizes(shape) | more


def _sizes(shape: Shape) -> dict[str, int]:
    return {name: getattr(shape, name) for name in ("hidden", "batch", "time")}


def working(
    calls: dict[str, Callable[[], measure.Call]],
) -> tuple[dict[str, measure.Call], dict[str, str]]:
    """Those that run once, and why the others do not: one must not stop the rest."""
    able, failed = {}, {}
    for name, make in calls.items():
        try:
            call = make()
            call()
            able[name] = call
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return able, failed


def contestants(
    shape: Shape, dtype: str, backward: bool
) -> dict[str, Callable[[], measure.Call]]:
    """What makes each call to time; making it may fail."""
    given = (shape, dtype, backward)
    calls = {name: functools.partial(_ours, name, *given) for name in OURS}
    if pallas_gpu.persistent(shape.case(dtype)) is not None:
        del calls["pallas_gpu"]  # it would be the cell once more
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
    return lambda: jax.block_until_ready(run(*arguments))


def _ours(backend: str, shape: Shape, dtype: str, backward: bool) -> measure.Call:
    x, weights, dy = _numbers(shape)
    x, dy = jnp.asarray(x, dtype), jnp.asarray(dy, dtype)
    state = LstmState(
        jnp.zeros((shape.batch, shape.hidden), dtype),
        jnp.zeros((shape.batch, shape.hidden), jnp.float32),
    )

    def call(x, weights, state):
        return lstm(x, weights, state, backend=backend)

    own = LstmWeights(*(jnp.asarray(w, dtype) for w in weights))
    return _timed(call, (x, own, state), dy, backward)


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

    def run():
        with torch.set_grad_enabled(backward):
            y, _ = layer(inputs, state)
        if backward:
            torch.autograd.grad(y, wanted, cotangent)
        torch.cuda.synchronize()

    return run


def _flashrnn(shape: Shape, dtype: str, backward: bool) -> measure.Call:
    """Its recurrence alone: x·wx is not in it."""
    torch, flash = measure.yardstick("torch"), measure.yardstick("flashrnn")
    of: dict[str, Any] = {"device": "cuda", "dtype": getattr(torch, dtype)}
    size, gates = shape.hidden, 4

    def normal(*shape: int):
        return (torch.randn(*shape, **of) / 16).requires_grad_(backward)

    xp = normal(shape.batch, shape.time, gates, 1, size)
    wh, b = normal(gates, 1, size, size), normal(gates, 1, size)

    def run():
        y, _ = flash.flashrnn(
            xp, wh, b, function="lstm", backend="cuda_fused", dtype=dtype
        )
        if backward:
            torch.autograd.grad(y.sum(), [xp, wh, b])
        torch.cuda.synchronize()

    return run


def fastest(shape: Shape, dtype: str, card: Card, runs: int = 5) -> dict[str, int]:
    """Cells of a block, the fastest of those that fit, by gpu_measured's key."""
    found = {}
    for sweep in gpu_tiles.sweeps(shape.case(dtype)):
        cuts = gpu_tiles.cuts(sweep, card)
        calls, _ = working(
            {str(cut.walk.cells): functools.partial(_swept, sweep, cut) for cut in cuts}
        )
        if calls:
            taken = measure.interleaved(calls, runs)
            best = min(taken, key=lambda name: np.median(taken[name]))
            found[gpu_measured.key(sweep, cuts[0].tiles)] = int(best)
    return found


def _swept(sweep: Sweep, cut: Cut) -> measure.Call:
    """One sweep, of zeros: their time is that of any numbers."""
    time, batch, hidden, dtype = sweep.time, sweep.batch, sweep.hidden, sweep.dtype
    gates = jnp.zeros((time, batch, 4 * hidden), dtype)
    cells = jnp.zeros((time, batch, hidden), jnp.float32)
    state = LstmState(jnp.zeros((batch, hidden), dtype), cells[0])
    wh = jnp.zeros((hidden, 4 * hidden), dtype)
    core = Core(wh, None, None, state, None, Masks(None, None))

    @jax.jit
    def run(gates, cells, core):
        if sweep.backward:
            dy, last = gates[..., :hidden], core.state
            return gpu_sweeps.backward(
                gates, cells, core, not sweep.reverse, dy, last, cut=cut
            )
        return gpu_sweeps.forward(gates, core, sweep.reverse, "gates", cut=cut)

    return lambda: jax.block_until_ready(run(gates, cells, core))
