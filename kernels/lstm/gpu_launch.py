"""One launch of a persistent Hopper kernel: grid, shared memory, inputs as it has them.

A block can copy, and can neither gather nor spread a vector: its columns of wh come
side by side, masks and peepholes spread over a tile. Under vmap the launches follow
each other: those of Pallas's own rule would share one barrier, and wait for blocks that
have no place.

Pallas would have a block's four warps meet before and after whatever touches shared
memory: 59 times in the text of the forward kernel, for 2.8 µs a step on an H200 (H 768,
B 16). Left to us they meet 14 times, for 2.5 µs: in commit_smem, before a copy out of
shared memory; in wait_smem_to_gmem, before that is written again; in the waits for
other blocks; and in meet_warps, before a piece takes the place of one that the tensor
cores may still read. What a copy brings every thread waits for by itself. A place is
read before one of these in a step, and filled again after it.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.lstm import gpu_exchange, steps
from kernels.lstm.backend import Core
from kernels.lstm.gpu_arithmetic import BEGINS, NEXT_BEGINS, VALID
from kernels.lstm.gpu_tiles import MATRIX_ROWS, Cut
from kernels.lstm.spec import Masks
from kernels.lstm.tpu_tiles import to


def run(
    body: Any,
    cut: Cut,
    ins: dict[str, jax.Array],
    outs: dict[str, tuple],
    own: dict[str, Any],
    interpret: Any,
) -> dict[str, jax.Array]:
    """One launch."""
    walk, dtype = cut.walk, ins["wh"].dtype
    slices = ins["wh"].shape[1:]
    own = own | {
        "wh": plgpu.SMEM(slices, dtype, transforms=_tiled(slices[-1], dtype)),
        "pieces": plgpu.SMEM(
            (walk.depth, MATRIX_ROWS, walk.piece),
            dtype,
            transforms=_tiled(walk.piece, dtype),
        ),
        "piece_there": plgpu.Barrier(num_barriers=walk.depth),
        "there": plgpu.Barrier(),
    }
    grid: dict[str, Any] = {"grid": (cut.tiles,), "grid_names": ("tile",)}
    if walk.barrier == "cluster":
        grid |= {"cluster": (walk.blocks,), "cluster_names": ("block",)}
    else:
        blocks = walk.blocks // walk.parts
        grid = {"grid": (blocks, cut.tiles), "grid_names": ("block", "tile")}
    if walk.parts > 1:
        grid |= {"cluster": (walk.parts,), "cluster_names": ("part",)}
        own["parts"] = plgpu.SMEM((walk.parts, MATRIX_ROWS, walk.cells), jnp.float32)
    if "flags" in ins:
        own["flags"] = plgpu.SMEM((2, MATRIX_ROWS, walk.cells), jnp.int32)
    names, out_names = tuple(ins), tuple(outs)

    def lstm_gpu(*refs, **own):
        given = dict(zip(names, refs[: len(names)], strict=True))
        wanted = dict(zip(out_names, refs[len(names) :], strict=True))
        body(walk, given, wanted, gpu_exchange.meet(walk, cut.tiles, own))

    lstm_gpu.__name__ = f"lstm_gpu_{body.__name__}"
    call = plgpu.kernel(
        lstm_gpu,
        out_type=[jax.ShapeDtypeStruct(shape, of) for shape, of in outs.values()],
        scratch_types=own,
        compiler_params=plgpu.CompilerParams(
            approx_math=True,
            unsafe_no_auto_barriers=True,
            lowering_semantics=plgpu.LoweringSemantics.Warpgroup,
        ),
        interpret=interpret,
        **grid,
    )
    got = sequential_vmap(call)(*ins.values())
    return dict(zip(out_names, got, strict=True))


def _tiled(columns: int, dtype: Any) -> tuple[Any, ...]:
    """Tiles of 8 rows, swizzled, as the tensor cores read them: 32 to 128 bytes."""
    width = min(columns, 64)
    swizzle = width * jnp.dtype(dtype).itemsize
    return plgpu.TilingTransform((8, width)), plgpu.SwizzleTransform(swizzle)


def slices(wh: jax.Array, cut: Cut, rows: int) -> jax.Array:
    """[blocks, pieces, columns, piece]: each block's columns, gates side by side.

    A block alone has [blocks, pieces, piece, columns]. One of a cluster that shares a
    product has its part of the rows, and the columns of all of them.
    """
    walk = cut.walk
    if walk.parts > 1:
        apart = wh.reshape(
            walk.parts, -1, walk.piece, wh.shape[1] // walk.columns, walk.columns
        )
        apart = apart.transpose(3, 0, 1, 4, 2)
        return apart.reshape(walk.blocks, -1, walk.columns, walk.piece)
    apart = wh.reshape(rows // walk.piece, walk.piece, -1, walk.blocks, walk.cells)
    if walk.barrier == "alone":
        apart = apart.transpose(3, 0, 1, 2, 4)
        return apart.reshape(walk.blocks, rows // walk.piece, walk.piece, -1)
    apart = apart.transpose(3, 0, 2, 4, 1)
    return apart.reshape(walk.blocks, rows // walk.piece, -1, walk.piece)


def masks_and_peephole(
    core: Core, cut: Cut, time: int, down: bool, hidden: int
) -> dict[str, jax.Array]:
    """The inputs that both directions have alike, where the call has them."""
    ins, rows = {}, cut.tiles * cut.walk.rows
    if core.peephole is not None:
        # Spread over the rows of a tile: a block cannot spread a vector by itself.
        peephole = to(core.peephole, 1, hidden).astype(jnp.float32)
        shape = (3, MATRIX_ROWS, hidden)
        ins["peephole"] = jnp.broadcast_to(peephole[:, None], shape)
    if core.h_mask is not None:
        ins["h_mask"] = to(to(core.h_mask, 1, hidden), 0, rows)
    if core.masks.given:
        bits = flag_bits(core.masks, time, core.state.c.shape[0], down)
        bits = to(bits, 1, rows)[..., None]
        ins["flags"] = jnp.broadcast_to(bits, (*bits.shape[:2], cut.walk.cells))
    return ins


def flag_bits(masks: Masks, time: int, batch: int, down: bool) -> jax.Array:
    """[time, batch]: the bits that gpu_arithmetic names; `down`: of the walk."""
    lengths, resets = masks
    valid = steps.valid_steps(lengths, time)
    flags = jnp.full((time, batch), VALID) if valid is None else VALID * valid
    if resets is not None:
        none = jnp.zeros((1, batch), bool)
        ends = (none, resets[:-1]) if down else (resets[1:], none)
        flags += BEGINS * resets + NEXT_BEGINS * jnp.concatenate(ends)
    return flags.astype(jnp.int32)


def arrivals(copies: int, ins: dict[str, jax.Array]) -> Any:
    """Two barriers, for the inputs of one step and of the next."""
    return plgpu.Barrier(num_arrivals=copies + ("flags" in ins), num_barriers=2)
