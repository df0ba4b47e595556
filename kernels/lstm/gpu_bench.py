"""The LSTM on a real GPU beside what people would use instead; the search for cuts.

What is timed is the device: calls are launched one after another, and the last one is
waited for, so that the host is ahead of the device but for the first.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels import measure
from kernels.lstm import gpu_measured, gpu_sweeps, gpu_tiles
from kernels.lstm.backend import Core
from kernels.lstm.cases import Shape
from kernels.lstm.gpu_contestants import (
    LAUNCHES,
    OURS,
    YARDSTICKS,
    contestants,
    repeated,
)
from kernels.lstm.gpu_tiles import Card, Cut, Sweep
from kernels.lstm.spec import LstmState, Masks

NAME = "rented-gpu"  # of every row
WHAT = ("forward", "forward+backward")
RUNS = 10
# The first is what cuDNN's persistent kernel and FlashRNN have published figures for.
SIZES = (
    (768, 16, 1024),
    (512, 64, 128),
    (1024, 32, 64),  # what `train bible --budget full` makes at each step
    (1024, 64, 1024),
    (256, 16, 1024),
    (1024, 16, 128),
    (512, 16, 1024),
    (256, 64, 128),
    (128, 16, 1024),
    (1024, 256, 128),
)
# Rows that end, and begin anew; all that a call may have. Of the first three sizes.
RAGGED = {"lengths": True, "resets": True}
MASKED = {"ragged": RAGGED, "all": RAGGED | {"h_mask": True, "peephole": True}}


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
        if (hidden, batch, time) in SIZES[:3]:
            for name, masks in MASKED.items():
                yield shape._replace(name=f"{shape}_{name}", **masks), "bfloat16"


def filling(card: Card) -> Shape:
    """A size whose launch has a block for nearly every multiprocessor, 16 bits wide."""
    cells = gpu_tiles.CELLS[0]
    hidden = card.processors // 2 * cells // gpu_tiles.COLUMNS * gpu_tiles.COLUMNS
    return Shape("every_block", 256, 2 * gpu_tiles.MATRIX_ROWS, 1, max(hidden, 64))


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


def told(row: dict[str, Any]) -> str | None:
    """A line for a person; None for a row that is not of this table."""
    if "failed" in row:
        head = f"{row['case']:18} {row['dtype']:9} {row['what']:18} {row['backend']:22}"
        return f"{head} {row['failed']}"
    if row["unit"] != "us/step":
        return None
    share = "" if row["share"] is None else f" {row['share']:6.1%} of the bound"
    ratios = "  ".join(f"{r['median']:.2f}× {n}" for n, r in row["ratios"].items())
    return (
        f"{row['case']:18} {row['dtype']:9} {row['what']:18} {row['backend']:22} "
        f"{row['median']:8.2f} us a step{share}  {ratios}"
    )


def rows(
    shape: Shape,
    dtype: str,
    device: str,
    timed: tuple[str, ...] = (*OURS, *YARDSTICKS),
    runs: int = RUNS,
) -> Iterator[dict[str, Any]]:
    """One row for each contestant that can, forward and forward+backward.

    Args:
      timed: who takes part, if it can.
    """
    for what in WHAT:
        able = contestants(shape, dtype, what == WHAT[1])
        calls, failed = working({n: make for n, make in able.items() if n in timed})
        taken = measure.interleaved(calls, runs)
        taken = {name: times / LAUNCHES for name, times in taken.items()}
        for backend in calls:
            others = tuple(y for y in YARDSTICKS if y in calls and y != backend)
            row = measure.row(NAME, str(shape), backend, what, taken, others)
            yield per_step(row, shape, dtype, bound(shape, dtype, what, device))
        for backend, reason in failed.items():
            head = {"bench": NAME, "case": str(shape), "backend": backend}
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


def _sizes(shape: Shape) -> dict[str, Any]:
    sizes = {name: getattr(shape, name) for name in ("hidden", "batch", "time")}
    return sizes | {"has": gpu_measured.kind(shape)}


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


def searched(
    shape: Shape, dtype: str, card: Card, runs: int = 5
) -> dict[str, dict[str, float]]:
    """Microseconds a step of each sweep, by gpu_measured's key and a cut's name.

    Raises:
      RuntimeError: none of them runs, and why the first does not.
    """
    found = {}
    for sweep in gpu_tiles.sweeps(shape.case(dtype)):
        cuts = gpu_tiles.cuts(sweep, card)
        calls, failed = working(
            {cut.walk.name: functools.partial(_swept, sweep, cut) for cut in cuts}
        )
        if failed and not calls:
            raise RuntimeError(f"no cut runs: {next(iter(failed.values()))}")
        if calls:
            taken = measure.interleaved(calls, runs)
            a_step = 1e3 / LAUNCHES / shape.time
            medians = {n: float(np.median(t)) * a_step for n, t in taken.items()}
            found[gpu_measured.key(sweep, cuts[0].tiles)] = medians
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

    return repeated(lambda: run(gates, cells, core), jax.block_until_ready)
