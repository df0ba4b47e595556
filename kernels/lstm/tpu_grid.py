"""How a sequence is cut for the TPU kernels: the grid, and the blocks of each array."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from kernels import target
from kernels.lstm import tpu_tiles
from kernels.lstm.backend import Core
from kernels.lstm.tpu_kernels import Walk
from kernels.lstm.tpu_memory import LANES, Sweep
from kernels.lstm.tpu_tiles import Tile, padded, to

Given = tuple[jax.Array, pl.BlockSpec]


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
        assert LANES % walk.block == 0, f"{walk.block} steps straddle two lane blocks"

        def index(b, t):
            # Not `//`: it asks for the sign, which compiles only on a TPU's own host.
            return b, walk.block_at(t) * walk.block >> LANES.bit_length() - 1

        return pl.BlockSpec((self.tile.batch, LANES), index)

    @staticmethod
    def _once(shape: tuple[int, ...], index: Any) -> pl.BlockSpec:
        return pl.BlockSpec(shape, index, pipeline_mode=pl.Buffered(1))


def sweep_of(
    core: Core, size: tuple[int, int], keep: str | None, backward: bool
) -> Sweep:
    """What a sweep's memory depends on. size: time, batch."""
    return Sweep(
        backward=backward,
        time=size[0],
        batch=size[1],
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
    sweep = sweep_of(core, size, keep, backward)
    # An interpreter has to compile each step of a block: two show all there is to show.
    steps = (2, 1) if interpret else None
    tile = tpu_tiles.chosen(sweep, compiled_for(), steps)
    if tile is None:
        return None
    walk = Walk(tile.time, pl.cdiv(size[0], tile.time), down)
    return Grid(tile, walk, pl.cdiv(size[1], tile.batch))


def compiled_for() -> str:
    """Interpreters take the tiles of a v5e."""
    return tpu_tiles.present(target.platform()) or "v5e"


def shared(core: Core, grid: Grid, time: int, batch: int) -> dict[str, Given]:
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
