"""Whole sequences in one kernel on Hopper: wh stays in shared memory for all steps.

Mosaic GPU, by way of Pallas: gpu_forward.py and gpu_backward.py are what a block does,
gpu_exchange.py how blocks give each other h and dz, gpu_tiles.py how many there are,
gpu_launch.py what they are launched with. A lax.scan launches kernels at every step,
and reads all of wh from L2.

Every gate is padded to whole tiles of 64 cells: padded cells have c = h = 0. Rows are
padded to a multiple of 8.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels import target
from kernels.lstm import (
    gpu_backward,
    gpu_forward,
    gpu_launch,
    gpu_measured,
    gpu_tiles,
    pallas_gpu_cell,
    steps,
)
from kernels.lstm.backend import Core, Swept, SweptBack
from kernels.lstm.gpu_tiles import MATRIX_ROWS, Cut, Sweep, padded
from kernels.lstm.spec import LstmState
from kernels.lstm.tpu_tiles import to, to_gates


def forward(
    xp: jax.Array,
    core: Core,
    reverse: bool,
    keep: str | None,
    interpret: Any = None,
    cut: Cut | None = None,
) -> Swept:
    """As xla.forward.

    Args:
      interpret: as for plgpu.kernel; then one block does all.
      cut: instead of the one that gpu_tiles would choose.
    """
    time, batch, _ = xp.shape
    cells = core.wh.shape[1] // 4
    if not (time and batch):
        return _nothing(xp, core, keep)
    hidden, dtype = padded(cells), xp.dtype
    cut = cut or _cut(core, False, time, hidden, reverse, interpret)
    if cut is None:
        return pallas_gpu_cell.forward(xp, core, reverse, keep)
    rows = cut.tiles * cut.walk.rows
    seen = core.state.h if core.h_mask is None else core.state.h * core.h_mask
    if core.masks.resets is not None:
        seen = steps.where(~core.masks.resets[-1 if reverse else 0], seen, 0)
    ins = gpu_launch.masks_and_peephole(core, cut, time, reverse, hidden) | {
        "xp": to(to_gates(xp, hidden), 1, rows),
        "first": to(to(seen, 1, hidden), 0, rows),
        "wh": gpu_launch.slices(to_gates(to(core.wh, 0, hidden), hidden), cut, hidden),
        "h": to(to(core.state.h, 1, hidden), 0, rows),
        "c": to(to(core.state.c, 1, hidden), 0, rows),
    }
    outs = {
        "y": ((time, rows, hidden), dtype),
        "h": ((rows, hidden), dtype),
        "c": ((rows, hidden), jnp.float32),
        "seen": ((2, rows, hidden), dtype),
    }
    if keep is not None:
        outs["cells"] = ((time, rows, hidden), jnp.float32)
    if keep == "gates":
        outs["gates"] = ((time, rows, 4 * hidden), dtype)
    tile = (MATRIX_ROWS, cut.walk.cells)
    own = {
        "xp": plgpu.SMEM((2, 4, *tile), dtype),
        "y": plgpu.SMEM(tile, dtype),
        "seen": plgpu.SMEM(tile, dtype),
        "cells": plgpu.SMEM(tile, jnp.float32),
        "inputs_there": gpu_launch.arrivals(4, ins),
    }
    if keep == "gates":
        own["gates"] = plgpu.SMEM((4, *tile), dtype)
    got = gpu_launch.run(gpu_forward.forward, cut, ins, outs, own, interpret)
    return Swept(
        got["y"][:, :batch, :cells],
        LstmState(got["h"][:batch, :cells], got["c"][:batch, :cells]),
        _from_gates(got["gates"][:, :batch], cells) if keep == "gates" else None,
        got["cells"][:, :batch, :cells] if keep is not None else None,
    )


def backward(
    gates: jax.Array,
    cells: jax.Array,
    core: Core,
    reverse: bool,
    dy: jax.Array,
    dlast: LstmState,
    interpret: Any = None,
    cut: Cut | None = None,
) -> SweptBack:
    """As xla.backward; wide gates are rounded to x's dtype, as `store` keeps them."""
    time, batch, _ = dy.shape
    size, dtype = cells.shape[2], core.wh.dtype
    if not (time and batch):
        initial = LstmState(*(a.astype(jnp.float32) for a in dlast))
        dh = None if core.projection is None else dy.astype(dtype)
        return SweptBack(gates.astype(dtype), dh, initial)
    hidden = padded(size)
    cut = cut or _cut(core, True, time, hidden, not reverse, interpret)
    if cut is None:
        return pallas_gpu_cell.backward(gates, cells, core, reverse, dy, dlast)
    rows = cut.tiles * cut.walk.rows

    def whole(array: jax.Array, axis: int) -> jax.Array:
        return to(to(array, axis + 1, hidden), axis, rows)

    back = to_gates(to(core.wh, 0, hidden), hidden).T
    ins = gpu_launch.masks_and_peephole(core, cut, time, not reverse, hidden) | {
        "gates": to(to_gates(gates.astype(dtype), hidden), 1, rows),
        "cells": whole(cells, 1),
        "dy": whole(dy.astype(dtype), 1),
        "wh": gpu_launch.slices(back, cut, 4 * hidden),
        "h": whole(dlast.h.astype(jnp.float32), 0),
        "c": whole(dlast.c.astype(jnp.float32), 0),
    }
    outs = {
        "dz": ((time, rows, 4 * hidden), dtype),
        "h": ((rows, hidden), jnp.float32),
        "c": ((rows, hidden), jnp.float32),
    }
    tile = (MATRIX_ROWS, cut.walk.cells)
    own = {
        "gates": plgpu.SMEM((2, 4, *tile), dtype),
        "cells": plgpu.SMEM((2, *tile), jnp.float32),
        "dy": plgpu.SMEM((2, *tile), dtype),
        "dz": plgpu.SMEM((4, *tile), dtype),
        "state": plgpu.SMEM(tile, jnp.float32),
        "inputs_there": gpu_launch.arrivals(6, ins),
    }
    got = gpu_launch.run(gpu_backward.backward, cut, ins, outs, own, interpret)
    return SweptBack(
        _from_gates(got["dz"][:, :batch], size),
        None,
        LstmState(got["h"][:batch, :size], got["c"][:batch, :size]),
    )


def _cut(
    core: Core, backward: bool, time: int, hidden: int, down: bool, interpret: Any
) -> Cut | None:
    """None where it is the fused cell's turn: what `persistent` gives a reason for."""
    dtype = str(core.wh.dtype)
    if dtype not in gpu_tiles.DTYPES or core.projection is not None:
        return None
    card = gpu_tiles.present(target.platform()) or gpu_tiles.H100
    flags = core.masks.given
    has = (dtype, flags, core.peephole is not None)
    sweep = Sweep(backward, time, core.state.c.shape[0], hidden, *has, down)
    if interpret is not None:
        # It knows no barrier between blocks, and no limit to one.
        return gpu_tiles.chosen(sweep, card._replace(shared=2**40), (hidden,))
    if card.capability[0] != 9:
        return None
    return gpu_measured.cut(sweep, card)


def _from_gates(array: jax.Array, cells: int) -> jax.Array:
    hidden = array.shape[-1] // 4
    if cells == hidden:
        return array
    apart = array.reshape(*array.shape[:-1], 4, hidden)[..., :cells]
    return apart.reshape(*array.shape[:-1], 4 * cells)


def _nothing(xp: jax.Array, core: Core, keep: str | None) -> Swept:
    time, batch, columns = xp.shape
    y = jnp.zeros((time, batch, core.wh.shape[0]), xp.dtype)
    cells = jnp.zeros((time, batch, columns // 4), jnp.float32)
    gates = xp if keep == "gates" else None
    return Swept(y, core.state, gates, cells if keep is not None else None)
