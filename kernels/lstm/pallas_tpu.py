"""Whole sequences in one TPU kernel: wh stays in VMEM from the first step to the last.

The grid is (tiles of the batch, blocks of time); each iteration takes several steps,
see tpu_kernels.py. A lax.scan reads all of wh from the main memory at every step, and
that is what it waits for.

Every gate is padded to whole registers of 128 cells: padded cells have c = h = 0. A
hidden size that is a multiple of 128 is not copied for it. Steps past the end of time
or of a row leave the state as it was. A last tile with too few rows is left to Pallas,
which drops what is written outside; rows never mix. A sweep whose wh VMEM cannot hold
is left to pallas_cell.py.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from kernels import target
from kernels.lstm import pallas_cell, tpu_kernels, tpu_tiles
from kernels.lstm.backend import Backend, Core, Swept, SweptBack
from kernels.lstm.spec import Case, LstmState, wide
from kernels.lstm.tpu_kernels import Walk
from kernels.lstm.tpu_tiles import LANES, Sweep, Tile, padded, to, to_gates

Given = tuple[jax.Array, pl.BlockSpec]
Wanted = tuple[tuple[int, ...], Any, pl.BlockSpec]  # shape, dtype


def supports(case: Case) -> str | None:
    """None on a TPU, of any size; see also tpu_tiles.compiling_for."""
    if tpu_tiles.present(case.platform) is None:
        return (
            f"it is for TPUs, and this is a {case.platform} "
            f"(backend='kernels.lstm.interpreted' runs its kernels anywhere, slowly)"
        )
    if case.dtype not in tpu_tiles.DTYPES:
        return f"it takes {' and '.join(tpu_tiles.DTYPES)}, and x is {case.dtype}"
    return None


def too_large(case: Case) -> str | None:
    """Why wh cannot stay in VMEM, so that a sweep runs pallas_cell's kernels; or None.

    Asked of a case that is supported; a sweep that does fit is still one kernel.
    """
    generation = tpu_tiles.present(case.platform)
    assert generation is not None
    forward = Sweep(
        backward=False,
        time=case.time,
        batch=case.batch,
        hidden=padded(case.hidden),
        projected=padded(case.projected),
        itemsize=jnp.dtype(case.dtype).itemsize,
        keep="gates",
        peephole=case.peephole,
        projection=case.projection,
        h_mask=case.h_mask,
        lengths=True,  # also of a sequence that ends inside a block
        resets=case.resets,
    )
    sweeps = (forward, forward._replace(backward=True, keep=None))
    if all(tpu_tiles.chosen(sweep, generation) for sweep in sweeps):
        return None
    least = max(tpu_tiles.least(sweep, generation) for sweep in sweeps)
    held = tpu_tiles.GENERATIONS[generation].vmem
    return (
        f"wh [{case.projected}, {4 * case.hidden}] and its blocks take "
        f"{least / 2**20:.1f} MiB of VMEM, and {generation} has {held / 2**20:.0f}"
    )


class Grid(NamedTuple):
    """How a call is cut up, and the blocks that follow from it."""

    tile: Tile
    walk: Walk
    tiles: int

    def steps(self, width: int) -> pl.BlockSpec:
        """A block of a [time, batch, width] array."""
        shape = (self.walk.block, self.tile.batch, width)
        return pl.BlockSpec(shape, lambda b, t: (self.walk.block_at(t), b, 0))

    def rows(self, width: int) -> pl.BlockSpec:
        """A block of a [batch, width] array: the same at all steps."""
        return self._once((self.tile.batch, width), lambda b, t: (b, 0))

    def whole(self, shape: tuple[int, ...]) -> pl.BlockSpec:
        return self._once(shape, lambda b, t: (0, 0))

    def flags(self) -> pl.BlockSpec:
        """A block of a [batch, time] array."""
        walk = self.walk

        def index(b, t):
            # Not `//`: it asks for the sign, which compiles only on a TPU's own host.
            return b, walk.block_at(t) * walk.block >> LANES.bit_length() - 1

        return pl.BlockSpec((self.tile.batch, LANES), index)

    @staticmethod
    def _once(shape: tuple[int, ...], index: Any) -> pl.BlockSpec:
        return pl.BlockSpec(shape, index, pipeline_mode=pl.Buffered(1))


def forward(
    xp: jax.Array,
    core: Core,
    reverse: bool,
    keep: str | None,
    interpret: Any = False,
) -> Swept:
    """As xla.forward; `interpret` as for pl.pallas_call."""
    time, batch, _ = xp.shape
    projected, cells = core.wh.shape[0], core.wh.shape[1] // 4
    if not (time and batch):
        return _nothing(xp, core, keep)
    wide_h, wide_c, precise = padded(projected), padded(cells), wide(xp.dtype)
    grid = grid_of(core, (time, batch), keep, False, reverse, interpret)
    if grid is None:
        return pallas_cell.forward(xp, core, reverse, keep, interpret)
    wh = to(to_gates(core.wh, wide_c), 0, wide_h)
    if keep is None:  # v6e, gates kept: 1,438 cycles a step paired, 669 as it comes
        wh = tpu_tiles.paired(wh, _generation(), grid.tile.batch)
    ins = _shared(core, grid, time, batch) | {
        "xp": (to_gates(xp, wide_c), grid.steps(4 * wide_c)),
        "wh": (wh, grid.whole(wh.shape)),
        "h": (to(core.state.h, 1, wide_h), grid.rows(wide_h)),
        "c": (to(core.state.c, 1, wide_c), grid.rows(wide_c)),
    }
    if core.projection is not None:
        projection = to(to(core.projection, 0, wide_c), 1, wide_h)
        ins["projection"] = (projection, grid.whole(projection.shape))
    outs: dict[str, Wanted] = {
        "y": ((time, batch, wide_h), xp.dtype, grid.steps(wide_h)),
        "h": ((batch, wide_h), xp.dtype, grid.rows(wide_h)),
        "c": ((batch, wide_c), precise, grid.rows(wide_c)),
    }
    if keep is not None:
        outs["cells"] = ((time, batch, wide_c), precise, grid.steps(wide_c))
    if keep == "gates":
        outs["gates"] = ((time, batch, 4 * wide_c), xp.dtype, grid.steps(4 * wide_c))
    got = _run(tpu_kernels.forward_step, grid, ins, outs, interpret)
    return Swept(
        got["y"][..., :projected],
        LstmState(got["h"][:, :projected], got["c"][:, :cells]),
        _from_gates(got["gates"], cells) if keep == "gates" else None,
        got["cells"][..., :cells] if keep is not None else None,
    )


def backward(
    gates: jax.Array,
    cells: jax.Array,
    core: Core,
    reverse: bool,
    dy: jax.Array,
    dlast: LstmState,
    interpret: Any = False,
) -> SweptBack:
    """As xla.backward; wide gates are rounded to x's dtype, as `store` keeps them."""
    time, batch, projected = dy.shape
    hidden, dtype, precise = cells.shape[2], core.wh.dtype, cells.dtype
    if not (time and batch):
        return _nothing_back(gates, core, dy, dlast)
    wide_h, wide_c = padded(projected), padded(hidden)
    grid = grid_of(core, (time, batch), None, True, not reverse, interpret)
    if grid is None:
        return pallas_cell.backward(gates, cells, core, reverse, dy, dlast, interpret)
    back = to(to_gates(core.wh, wide_c), 0, wide_h).T
    ins = _shared(core, grid, time, batch) | {
        "dy": (to(dy.astype(dtype), 2, wide_h), grid.steps(wide_h)),
        "gates": (to_gates(gates.astype(dtype), wide_c), grid.steps(4 * wide_c)),
        "cells": (to(cells, 2, wide_c), grid.steps(wide_c)),
        "wh": (back, grid.whole(back.shape)),
        "h": (to(dlast.h.astype(precise), 1, wide_h), grid.rows(wide_h)),
        "c": (to(dlast.c.astype(precise), 1, wide_c), grid.rows(wide_c)),
    }
    outs: dict[str, Wanted] = {
        "dz": ((time, batch, 4 * wide_c), dtype, grid.steps(4 * wide_c)),
        "h": ((batch, wide_h), precise, grid.rows(wide_h)),
        "c": ((batch, wide_c), precise, grid.rows(wide_c)),
    }
    if core.projection is not None:
        projection = to(to(core.projection.T, 0, wide_h), 1, wide_c)
        ins["projection"] = (projection, grid.whole(projection.shape))
        outs["dh"] = ((time, batch, wide_h), dtype, grid.steps(wide_h))
    got = _run(tpu_kernels.backward_step, grid, ins, outs, interpret)
    return SweptBack(
        _from_gates(got["dz"], hidden),
        got["dh"][..., :projected] if core.projection is not None else None,
        LstmState(got["h"][:, :projected], got["c"][:, :hidden]),
    )


BACKEND = Backend(supports, forward, backward, "store")


def grid_of(
    core: Core,
    size: tuple[int, int],
    keep: str | None,
    backward: bool,
    down: bool,
    interpret: Any,
) -> Grid | None:
    """How a sweep is cut; None where wh cannot stay in VMEM.

    Args:
      size: time, batch.
      down: whether steps are taken from the last to the first.
      interpret: whether in an interpreter, for which two steps do as well as eight.
    """
    time, batch = size
    sweep = Sweep(
        backward=backward,
        time=time,
        batch=batch,
        hidden=padded(core.wh.shape[1] // 4),
        projected=padded(core.wh.shape[0]),
        itemsize=core.wh.dtype.itemsize,
        keep=keep,
        peephole=core.peephole is not None,
        projection=core.projection is not None,
        h_mask=core.h_mask is not None,
        lengths=core.masks.lengths is not None,
        resets=core.masks.resets is not None,
    )
    # An interpreter has to compile each step of a block: two show all there is to show.
    steps = (2, 1) if interpret else None
    tile = tpu_tiles.chosen(sweep, _generation(), steps)
    if tile is None:
        return None
    walk = Walk(tile.time, pl.cdiv(time, tile.time), down)
    return Grid(tile, walk, pl.cdiv(batch, tile.batch))


def _generation() -> str:
    """Interpreters take the tiles of a v5e."""
    return tpu_tiles.present(target.platform()) or "v5e"


def _shared(core: Core, grid: Grid, time: int, batch: int) -> dict[str, Given]:
    """The inputs that both directions have alike."""
    wide_h, wide_c = padded(core.wh.shape[0]), padded(core.wh.shape[1] // 4)
    ins: dict[str, Given] = {}
    if core.peephole is not None:
        peephole = to(core.peephole, 1, wide_c).astype(core.state.c.dtype)
        ins["peephole"] = (peephole, grid.whole(peephole.shape))
    if core.h_mask is not None:
        ins["h_mask"] = (to(core.h_mask, 1, wide_h), grid.rows(wide_h))
    lengths, resets = core.masks
    if lengths is None and time % grid.walk.block:
        lengths = jnp.full(batch, time)
    if lengths is not None:  # a block's steps past the end of time are past every row's
        ends = jnp.clip(lengths, 0, time).astype(jnp.int32)[:, None]
        ins["lengths"] = (ends, grid.rows(1))
    if resets is not None:
        flags = to(resets.T.astype(jnp.float32), 1, padded(time))
        ins["resets"] = (flags, grid.flags())
    return ins


def _run(step, grid: Grid, ins: dict[str, Given], outs: dict[str, Wanted], interpret):
    arrays = {name: array for name, (array, _) in ins.items()}
    h, c = (jax.typeof(arrays[name]) for name in ("h", "c"))
    rows = grid.tile.batch
    return pl.pallas_call(
        functools.partial(tpu_kernels.sweep, step, grid.walk),
        grid=(grid.tiles, grid.walk.blocks),
        in_specs=[{name: spec for name, (_, spec) in ins.items()}],
        out_specs={name: spec for name, (*_, spec) in outs.items()},
        out_shape={
            name: jax.ShapeDtypeStruct(shape, dtype)
            for name, (shape, dtype, _) in outs.items()
        },
        scratch_shapes=[pltpu.VMEM((rows, a.shape[1]), a.dtype) for a in (h, c)],
        compiler_params=pltpu.CompilerParams(
            # Tiles of the batch may run on two cores; time must go in order.
            dimension_semantics=("parallel", "arbitrary"),
            vmem_limit_bytes=grid.tile.vmem,
        ),
        name=step.__name__.replace("step", "lstm"),
        interpret=interpret,
    )(arrays)


def _from_gates(array: jax.Array, cells: int) -> jax.Array:
    hidden = array.shape[-1] // 4
    if cells == hidden:
        return array
    apart = array.reshape(*array.shape[:-1], 4, hidden)[..., :cells]
    return apart.reshape(*array.shape[:-1], 4 * cells)


def _nothing(xp: jax.Array, core: Core, keep: str | None) -> Swept:
    time, batch, columns = xp.shape
    y = jnp.zeros((time, batch, core.wh.shape[0]), xp.dtype)
    cells = jnp.zeros((time, batch, columns // 4), wide(xp.dtype))
    gates = xp if keep == "gates" else None
    return Swept(y, core.state, gates, cells if keep is not None else None)


def _nothing_back(gates, core: Core, dy: jax.Array, dlast: LstmState) -> SweptBack:
    dtype, precise = core.wh.dtype, wide(core.wh.dtype)
    dh = dy.astype(dtype) if core.projection is not None else None
    initial = LstmState(*(a.astype(precise) for a in dlast))
    return SweptBack(gates.astype(dtype), dh, initial)
