"""One step in one GPU kernel, for what the persistent kernels do not take.

The loop is xla.py's, with its product and its arithmetic replaced by a kernel: float32,
projections, sizes beyond the shared memory of all multiprocessors, Ampere and Ada.
Through Triton, while jax lowers Pallas to it. Forward, a block makes some cells: the
sums of their four gates stay in registers. Backward, a block makes some columns of
dz·whᵀ from all of dz, which it makes anew (a tanh a cell) piece by piece; of dz itself
it writes its share.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from kernels.lstm import gpu_tiles, xla
from kernels.lstm.backend import Backend, Core
from kernels.lstm.gpu_arithmetic import BY_TANH, activate, through_gates
from kernels.lstm.product import dot
from kernels.lstm.spec import Case
from kernels.lstm.tpu_tiles import to, to_gates

DTYPES = ("float32", "bfloat16", "float16")
OLDEST = 8  # compute capability: Ampere
GATES = range(4)


class Tile(NamedTuple):
    """Sizes of a block, powers of two: a product's are at least 16."""

    rows: int
    cells: int
    depth: int  # of the sum, at a time
    warps: int
    stages: int  # of loads in flight


def supports(case: Case) -> str | None:
    """None on Ampere and later, of any size."""
    card = gpu_tiles.present(case.platform)
    if card is None:
        return gpu_tiles.absent(case.platform, "interpreted_gpu_cell")
    if card.capability[0] < OLDEST:
        version = ".".join(map(str, card.capability))
        return f"it is for Ampere and later, and {card.name} has {version}"
    if case.dtype not in DTYPES:
        return f"it takes {', '.join(DTYPES)}, and x is {case.dtype}"
    return None


def forward(xp, core: Core, reverse: bool, keep: str | None, interpret: Any = False):
    """As xla.forward; `interpret` as for pl.pallas_call."""
    step_of = functools.partial(_advance, keep == "gates", interpret)
    return xla.forward(xp, core, reverse, keep, step_of)


def backward(
    gates, cells, core: Core, reverse: bool, dy, dlast, interpret: Any = False
):
    """As xla.backward; wide gates are rounded to x's dtype, as `store` keeps them."""
    step_of = functools.partial(_retreat, interpret)
    return xla.backward(
        gates.astype(core.wh.dtype), cells, core, reverse, dy, dlast, step_of
    )


BACKEND = Backend(supports, forward, backward, "store")


def tile(backward: bool, batch: int, itemsize: int) -> Tile:
    """As compiled for an H100 without a spill; not yet searched for on a device.

    Twice the rows or the depth spill 700 bytes backward, and float32 has no tensor
    cores here. All of these fit the 99 KiB of Ada.
    """
    rows = max(16, pl.next_power_of_2(batch))
    if backward or itemsize == 4:
        return Tile(min(rows, 32), 32, 32, 4, 2)
    return Tile(min(rows, 64), 32, 64, 4, 3)


def _whole(size: int, unit: int) -> int:
    return -(-size // unit) * unit


class _Sizes(NamedTuple):
    tile: Tile
    rows: int  # all padded
    cells: int
    inner: int  # rows of wh

    @staticmethod
    def of(core: Core, backward: bool) -> "_Sizes":
        batch, hidden = core.state.c.shape
        size = tile(backward, batch, core.wh.dtype.itemsize)
        unit = max(size.cells, size.depth)
        cells, inner = _whole(hidden, unit), _whole(core.wh.shape[0], unit)
        return _Sizes(size, _whole(batch, size.rows), cells, inner)

    def apart(self, gates: jax.Array) -> jax.Array:
        """[batch, 4·hidden] → [rows, 4, cells]."""
        wide = to(to_gates(gates, self.cells), 0, self.rows)
        return wide.reshape(self.rows, 4, self.cells)

    def flat(self, array: jax.Array, width: int) -> jax.Array:
        return to(to(array, 1, width), 0, self.rows)

    def weights(self, wh: jax.Array) -> jax.Array:
        """[inner, 4, cells]."""
        wide = to(to_gates(wh, self.cells), 0, self.inner)
        return wide.reshape(self.inner, 4, self.cells)

    def call(self, kernel: Any, columns: int, interpret: Any, **blocks: Any):
        from jax.experimental.pallas import triton as plt

        tile = self.tile
        return pl.pallas_call(
            kernel,
            grid=(columns // tile.cells, self.rows // tile.rows),
            compiler_params=plt.CompilerParams(
                num_warps=tile.warps, num_stages=tile.stages
            ),
            interpret=interpret,
            **blocks,
        )


def _advance(keep_gates: bool, interpret: Any, core: Core) -> Callable:
    """xla.product_and_cell, as a kernel."""
    sizes, dtype, precise = _Sizes.of(core, False), core.wh.dtype, core.state.c.dtype
    (batch, hidden), tile = core.state.c.shape, sizes.tile
    some = pl.BlockSpec((tile.rows, tile.cells), lambda j, b: (b, j))
    gates = pl.BlockSpec((tile.rows, 4, tile.cells), lambda j, b: (b, 0, j))
    specs = {
        "z": gates,
        "h": pl.BlockSpec((tile.rows, sizes.inner), lambda j, b: (b, 0)),
        "c": some,
        "wh": pl.BlockSpec((sizes.inner, 4, tile.cells), lambda j, b: (0, 0, j)),
    }
    fixed = {"wh": sizes.weights(core.wh)}
    if core.peephole is not None:
        fixed["peephole"] = to(core.peephole, 1, sizes.cells).astype(precise)
        specs["peephole"] = pl.BlockSpec((3, tile.cells), lambda j, b: (0, j))
    shape = (sizes.rows, sizes.cells)
    wanted = {
        "c": jax.ShapeDtypeStruct(shape, precise),
        "out": jax.ShapeDtypeStruct(shape, dtype),
    }
    out_specs = {"c": some, "out": some}
    if keep_gates:
        wanted["gates"] = jax.ShapeDtypeStruct((sizes.rows, 4, sizes.cells), dtype)
        out_specs["gates"] = gates
    call = sizes.call(
        functools.partial(_advance_tile, tile),
        sizes.cells,
        interpret,
        in_specs=[specs],
        out_specs=out_specs,
        out_shape=wanted,
        name="lstm_cell_forward",
    )

    def step(z: jax.Array, seen: jax.Array, c: jax.Array):
        given = {
            "z": sizes.apart(z),
            "h": sizes.flat(seen, sizes.inner),
            "c": sizes.flat(c, sizes.cells),
        }
        got = call(given | fixed)
        gates = None
        if keep_gates:
            gates = got["gates"][:batch, :, :hidden].reshape(batch, 4 * hidden)
        return gates, got["c"][:batch, :hidden], got["out"][:batch, :hidden]

    return step


def _advance_tile(tile: Tile, ins, outs) -> None:
    rows, cells = outs["c"].shape
    inner, precise = ins["wh"].shape[0], outs["c"].dtype

    def add(k, sums):
        some = pl.ds(k * tile.depth, tile.depth)
        h = ins["h"][:, some]
        return [s + dot(h, ins["wh"][some, n, :]) for n, s in enumerate(sums)]

    sums = [jnp.zeros((rows, cells), precise) for _ in GATES]
    sums = lax.fori_loop(0, inner // tile.depth, add, sums)
    z = [s + ins["z"][:, n, :].astype(precise) for n, s in enumerate(sums)]
    gates, c = activate(BY_TANH, z, ins["c"][...], _peephole(ins, slice(None)))
    outs["c"][...] = c
    outs["out"][...] = (gates[3] * jnp.tanh(c)).astype(outs["out"].dtype)
    if "gates" in outs:
        for n, gate in enumerate(gates):
            outs["gates"][:, n, :] = gate.astype(outs["gates"].dtype)


def _retreat(interpret: Any, core: Core) -> Callable:
    """xla.cell_and_product, as a kernel."""
    sizes, dtype, precise = _Sizes.of(core, True), core.wh.dtype, core.state.c.dtype
    (batch, hidden), tile = core.state.c.shape, sizes.tile
    row = pl.BlockSpec((tile.rows, sizes.cells), lambda j, b: (b, 0))
    gates = pl.BlockSpec((tile.rows, 4, sizes.cells), lambda j, b: (b, 0, 0))
    specs = {
        "gates": gates,
        "c": row,
        "d_out": row,
        "dc": row,
        "wh": pl.BlockSpec((tile.cells, 4, sizes.cells), lambda j, b: (j, 0, 0)),
    }
    fixed = {"wh": sizes.weights(core.wh)}
    if core.peephole is not None:
        fixed["peephole"] = to(core.peephole, 1, sizes.cells).astype(precise)
        specs["peephole"] = pl.BlockSpec((3, sizes.cells), lambda j, b: (0, 0))
    call = sizes.call(
        functools.partial(_retreat_tile, tile),
        sizes.inner,
        interpret,
        in_specs=[specs],
        out_specs={
            "dz": gates,
            "dc": row,
            "dh": pl.BlockSpec((tile.rows, tile.cells), lambda j, b: (b, j)),
        },
        out_shape={
            "dz": jax.ShapeDtypeStruct((sizes.rows, 4, sizes.cells), dtype),
            "dc": jax.ShapeDtypeStruct((sizes.rows, sizes.cells), precise),
            "dh": jax.ShapeDtypeStruct((sizes.rows, sizes.inner), precise),
        },
        name="lstm_cell_backward",
    )

    def step(gates: jax.Array, c: jax.Array, d_output: jax.Array, dc: jax.Array):
        given = {"gates": sizes.apart(gates)}
        for name, array in (("c", c), ("d_out", d_output), ("dc", dc)):
            given[name] = sizes.flat(array, sizes.cells)
        got = call(given | fixed)
        dz = got["dz"][:batch, :, :hidden].reshape(batch, 4 * hidden)
        dh = got["dh"][:batch, : core.wh.shape[0]]
        return dz, got["dc"][:batch, :hidden], dh

    return step


def _retreat_tile(tile: Tile, ins, outs) -> None:
    block, blocks = pl.program_id(0), pl.num_programs(0)
    rows, columns = outs["dh"].shape
    precise, dtype = outs["dc"].dtype, outs["dz"].dtype

    def add(k, dh):
        some = pl.ds(k * tile.depth, tile.depth)
        gates = [ins["gates"][:, n, some].astype(precise) for n in GATES]
        dz, dc = through_gates(
            BY_TANH,
            gates,
            ins["c"][:, some],
            ins["d_out"][:, some],
            ins["dc"][:, some],
            _peephole(ins, some),
        )
        dz = [part.astype(dtype) for part in dz]

        @pl.when(lax.rem(k, blocks) == block)  # its share of dz
        def _():
            outs["dc"][:, some] = dc
            for n, part in enumerate(dz):
                outs["dz"][:, n, some] = part

        return dh + sum(
            dot(part, ins["wh"][:, n, some], over=((1,), (1,)))
            for n, part in enumerate(dz)
        )

    pieces = ins["c"].shape[1] // tile.depth
    outs["dh"][...] = lax.fori_loop(0, pieces, add, jnp.zeros((rows, columns), precise))


def _peephole(ins: dict[str, Any], some: Any) -> list[jax.Array] | None:
    if "peephole" not in ins:
        return None
    return [ins["peephole"][n, some][None] for n in range(3)]
