"""Times every backend beside torch, flax and a plain lax.scan, on the named shapes.

Each contestant does the same: y and the last state, and for "forward+backward" the
gradient of <y, dy> for x, all weights and the initial state. On a GPU the shapes, the
yardsticks and the unit are gpu_bench.py's. For TPUs, which need not be there, the rows
are the compiler's own counts: see static_cycles.py.
"""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernels import measure, target
from kernels.lstm import gpu_bench, gpu_tiles, static_cycles
from kernels.lstm.cases import Shape, tagged
from kernels.lstm.dispatch import able
from kernels.lstm.op import lstm
from kernels.lstm.spec import LstmState, LstmWeights
from kernels.lstm.tpu_tiles import GENERATIONS

WHAT = ("forward", "forward+backward")
YARDSTICKS = ("torch", "flax", "reference")  # the last is a plain lax.scan


def add_options(parser: ArgumentParser) -> None:
    """What `launch/run bench lstm` takes."""
    parser.add_argument(
        "--static",
        nargs="+",
        default=(),
        choices=GENERATIONS,
        metavar="TPU",
        help=f"instead of timing, cycles that the compiler of these TPUs foresees "
        f"({', '.join(GENERATIONS)})",
    )


def told(row: dict[str, Any]) -> str | None:
    """A row for a person, if it is not about time: static, or a mean of ratios."""
    if "generation" in row:
        return static_cycles.told(row)
    if row["bench"] == gpu_bench.NAME:
        return gpu_bench.told(row)
    if row["case"] != measure.MEAN:
        return None
    ratios = "  ".join(f"{mean:.2f}× {name}" for name, mean in row["ratios"].items())
    over = f"{row['case']} of {row['cases']} cases"
    return f"{over:36} {row['what']:18} {row['backend']:10} {ratios}"


def rows(
    names: Sequence[str] = (), runs: int = 9, static: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Rows for each case, what and backend, as soon as they are measured; then means.

    Args:
      names: of the cases; all those tagged "bench" if empty.
      runs: rounds of the interleaved timing.
      static: generations of TPU, to count for instead; see static_cycles.rows.

    Raises:
      ValueError: a name that no bench case has.
      ModuleNotFoundError: torch or flax is not installed.
    """
    if static:
        yield from static_cycles.rows(static)
        return
    card = gpu_tiles.present(target.platform())
    if card is not None and not names:
        for shape, dtype in gpu_bench.shapes():
            yield from gpu_bench.rows(shape, dtype, card.name)
        return
    known = {case.name: case for case in tagged("bench")}
    done = []
    for name in names or known:
        if name not in known:
            raise ValueError(f"{name!r} is not one of the cases {', '.join(known)}")
        for what in WHAT:
            calls = contestants(known[name], what == WHAT[1])
            taken = measure.interleaved(calls, runs)
            for backend in able(known[name].case()):
                row = measure.row("lstm", name, backend, what, taken, YARDSTICKS)
                done.append(row)
                yield row
    yield from measure.means(done)


def contestants(case: Shape, backward: bool) -> dict[str, measure.Call]:
    """The calls to time, by name: our backends that can, then the yardsticks."""
    random = np.random.default_rng(0)

    def normal(*size) -> np.ndarray:
        return random.normal(size=size).astype("float32") / 16

    x = normal(case.batch, case.time, case.features)
    dy = normal(case.batch, case.time, case.hidden)
    columns = 4 * case.hidden
    shapes = ((case.features, columns), (case.hidden, columns), (columns,))
    weights = LstmWeights(*(jnp.asarray(normal(*shape)) for shape in shapes))
    there, wanted = jnp.asarray(x), jnp.asarray(dy)
    ours = {
        name: _ours(name, there, weights, wanted, backward)
        for name in able(case.case())
    }
    return ours | {
        "torch": _torch(x, weights, dy, backward),
        "flax": _flax(there, case.hidden, wanted, backward),
    }


def _ours(
    backend: str, x: jax.Array, weights: LstmWeights, dy: jax.Array, backward: bool
) -> measure.Call:
    zeros = jnp.zeros((len(x), weights.wh.shape[0]))
    arguments = (x, weights, LstmState(zeros, zeros))

    def call(x, weights, state):
        return lstm(x, weights, state, backend=backend)

    return _compiled(call, arguments, dy, backward)


def _flax(x: jax.Array, hidden: int, dy: jax.Array, backward: bool) -> measure.Call:
    linen = measure.yardstick("flax.linen")
    layer = linen.RNN(linen.OptimizedLSTMCell(hidden), return_carry=True)
    zeros = jnp.zeros((len(x), hidden))
    parameters = jax.jit(layer.init)(jax.random.key(0), x)

    def call(x, parameters, state):
        last, y = layer.apply(parameters, x, initial_carry=state)
        return y, last

    return _compiled(call, (x, parameters, (zeros, zeros)), dy, backward)


def _compiled(call, arguments: tuple, dy: jax.Array, backward: bool) -> measure.Call:
    def gradient(*arguments):
        (y, last), pull = jax.vjp(call, *arguments)
        return y, last, pull((dy, jax.tree.map(jnp.zeros_like, last)))

    run = jax.jit(gradient if backward else call)
    return lambda: jax.block_until_ready(run(*arguments))


def _torch(
    x: np.ndarray, weights: LstmWeights, dy: np.ndarray, backward: bool
) -> measure.Call:
    torch = measure.torch_on_all_cores()
    layer = torch.nn.LSTM(x.shape[2], dy.shape[2], batch_first=True)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor(np.asarray(weights.wx.T)))
        layer.weight_hh_l0.copy_(torch.tensor(np.asarray(weights.wh.T)))
        layer.bias_ih_l0.copy_(torch.tensor(np.asarray(weights.b)))
        layer.bias_hh_l0.zero_()
    inputs = torch.tensor(x, requires_grad=backward)
    state = tuple(
        torch.zeros(1, len(x), dy.shape[2], requires_grad=backward) for _ in range(2)
    )
    wanted = [inputs, *state, *layer.parameters()]
    cotangent = torch.tensor(dy)

    def run():
        if not backward:
            with torch.no_grad():
                return layer(inputs, state)
        y, last = layer(inputs, state)
        return y, last, torch.autograd.grad(y, wanted, cotangent)

    return run
