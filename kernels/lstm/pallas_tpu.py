"""Whole sequences in one TPU kernel: wh stays in VMEM from the first step to the last.

The grid is (tiles of the batch, blocks of time), see tpu_grid.py; each iteration takes
several steps, see tpu_kernels.py. A lax.scan reads all of wh from the main memory at
every step, and that is what it waits for.

Every gate is padded to whole registers of 128 cells: padded cells have c = h = 0. A
hidden size that is a multiple of 128 is not copied for it. Steps past the end of time
or of a row leave the state as it was. A last tile with too few rows is left to Pallas,
which drops what is written outside; rows never mix. A sweep whose wh VMEM cannot hold
is left to pallas_cell.py.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from kernels.lstm import pallas_cell, tpu_kernels, tpu_tiles
from kernels.lstm.backend import Backend, Core, Swept, SweptBack
from kernels.lstm.spec import Case, LstmState, wide
from kernels.lstm.tpu_grid import Given, Grid, compiled_for, grid_of, shared
from kernels.lstm.tpu_memory import Sweep
from kernels.lstm.tpu_tiles import padded, to, to_gates

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


def streamed(case: Case) -> str | None:
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
        f"wh streamed from HBM at each step: "
        f"wh [{case.projected}, {4 * case.hidden}] and its blocks take "
        f"{least / 2**20:.1f} MiB of VMEM, and {generation} has {held / 2**20:.0f}"
    )


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
        wh = tpu_tiles.paired(wh, compiled_for(), grid.tile.batch)
    ins = shared(core, grid, time, batch) | {
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
    ins = shared(core, grid, time, batch) | {
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


BACKEND = Backend(supports, forward, backward, "store", slowed=streamed)


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
