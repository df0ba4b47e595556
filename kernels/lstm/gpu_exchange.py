"""How a block of a persistent Hopper kernel gets and gives: copies, barriers, products.

A barrier tells when all blocks of a tile have stored what the next product is of:

    grid     a counter in global memory; all blocks of a tile have to be resident
    cluster  the hardware's own barrier between the blocks of one cluster
    alone    one block has all cells, and waits for nobody
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.lstm.gpu_tiles import MATRIX_ROWS, Walk

Refs = dict[str, Any]


class Place(NamedTuple):
    """Which part of the arrays is this block's."""

    block: Any
    tile: Any
    part: Any  # of the product that its cluster shares
    rows: Any  # slices
    cells: Any

    @staticmethod
    def here(walk: Walk) -> "Place":
        block, tile = lax.axis_index("block"), lax.axis_index("tile")
        part = 0
        if walk.parts > 1:
            part = lax.axis_index("part")
            block = block * walk.parts + part
        rows = pl.ds(tile * walk.rows, walk.rows)
        return Place(block, tile, part, rows, pl.ds(block * walk.cells, walk.cells))

    def columns(self, walk: Walk) -> Any:
        """Of all gates' dz, those that this block's product is of."""
        width = 4 * walk.blocks * walk.cells // walk.parts
        return pl.ds(self.part * width, width)

    def gate(self, walk: Walk, n: int) -> Any:
        """The columns of its cells in gate n."""
        start = n * walk.blocks * walk.cells + self.block * walk.cells
        return pl.ds(start, walk.cells)


def meet(walk: Walk, tiles: int, own: Refs) -> Refs:
    """Adds the counter of each tile: one for all blocks (scratch has one each)."""
    if walk.barrier != "grid":
        return own
    return own | {"told": pl.get_global(plgpu.SemaphoreType.REGULAR((tiles,)))}


def keep_weights(walk: Walk, wh: Any, own: Refs) -> None:
    """This block's columns of wh, [pieces, piece, columns], into shared memory."""

    def one(k: Any, _: None) -> None:
        plgpu.copy_gmem_to_smem(wh.at[k], own["wh"].at[k], own["there"])
        plgpu.barrier_wait(own["there"])

    lax.fori_loop(0, own["wh"].shape[0], one, None)


def fetch(array: Any, tile: Any, real: Any, own: Refs) -> jax.Array:
    """Once, before the loop: part of an array, wide, by way of a tile."""
    plgpu.copy_gmem_to_smem(array, tile.at[real], own["there"])
    plgpu.barrier_wait(own["there"])
    value = tile[...].astype(jnp.float32)
    plgpu.commit_smem()  # read by all threads before the tile is written again
    return value


def rows_of(ins: Refs, name: str, place: Place, tile: Any, real: Any, own: Refs):
    if name not in ins:
        return None
    return fetch(ins[name].at[place.rows, place.cells], tile, real, own)


def peepholes(ins: Refs, place: Place, tile: Any, own: Refs):
    """Three tiles, the same in all rows; ins["peephole"] [3, rows of a tile, cells]."""
    if "peephole" not in ins:
        return None
    whole = pl.ds(0, MATRIX_ROWS)
    return [
        fetch(ins["peephole"].at[n, :, place.cells], tile, whole, own) for n in range(3)
    ]


def load_flags(ins: Refs, own: Refs, place: Place, t: Any, slot: Any) -> None:
    """ins["flags"] [time, rows, cells of a block]: all blocks read the same."""
    if "flags" in ins:
        real = pl.ds(0, place.rows.size)
        plgpu.copy_gmem_to_smem(
            ins["flags"].at[t, place.rows],
            own["flags"].at[slot, real],
            own["inputs_there"].at[slot],
        )


def load_gates(
    walk: Walk, array: Any, tiles: Any, there: Any, place: Place, t: Any, slot: Any
) -> None:
    real = pl.ds(0, walk.rows)
    for n in range(4):
        plgpu.copy_gmem_to_smem(
            array.at[t, place.rows, place.gate(walk, n)],
            tiles.at[slot, n, real],
            there.at[slot],
        )


def store_gates(walk: Walk, tiles: Any, array: Any, place: Place, t: Any) -> None:
    real = pl.ds(0, walk.rows)
    for n in range(4):
        to = array.at[t, place.rows, place.gate(walk, n)]
        plgpu.copy_smem_to_gmem(tiles.at[n, real], to)


def product(walk: Walk, rows: Any, columns: int, own: Refs) -> jax.Array:
    """All blocks' `rows` times this block's columns of wh."""

    def summed(sums: Any) -> jax.Array:
        accumulate(walk, sums, rows, own)
        return sums[...]

    return pl.run_scoped(summed, plgpu.ACC((MATRIX_ROWS, columns), jnp.float32))


def accumulate(walk: Walk, sums: Any, rows: Any, own: Refs) -> None:
    """sums += rows·wh, while pieces of `rows` [rows, columns] come in."""
    pieces, real = own["wh"].shape[0], pl.ds(0, walk.rows)
    alone = walk.barrier == "alone"

    def load(k: Any, slot: Any) -> None:
        columns = pl.ds(k * walk.piece, walk.piece)
        plgpu.copy_gmem_to_smem(
            rows.at[:, columns],
            own["pieces"].at[slot, real],
            own["piece_there"].at[slot],
        )

    for k in range(walk.depth):
        load(k, k)

    def one(k: Any, _: None) -> None:
        slot = lax.rem(k, walk.depth)
        plgpu.barrier_wait(own["piece_there"].at[slot])
        wh = own["wh"].at[k]
        # The interpreter, where one block is alone, cannot turn a factor.
        plgpu.wgmma(sums, own["pieces"].at[slot], wh if alone else wh.T)
        plgpu.wgmma_wait(1)
        if walk.depth < pieces:
            after = k - 1 + walk.depth  # takes the place of the product that is done

            @pl.when((k > 0) & (after < pieces))
            def _():
                if not alone:  # in the interpreter, which knows no warps
                    meet_warps()
                load(after, lax.rem(k - 1, walk.depth))

    lax.fori_loop(0, pieces, one, None)
    plgpu.wgmma_wait(0)


def shared(walk: Walk, sums: jax.Array, own: Refs, place: Place) -> jax.Array:
    """This block's columns of what the blocks of its cluster have summed, in order.

    A part comes into a block's memory after it has told of the step's dz, and is read
    before it tells of the next one's, by all its warps, which meet in between: no part
    overtakes another.
    """
    if walk.parts == 1:
        return sums
    for n in range(walk.parts):
        part = sums[:, n * walk.cells : (n + 1) * walk.cells]
        give(part, own["parts"].at[place.part], n)
    # Not plgpu.async_store_smem: every thread would tell each of the others by itself.
    instruction("barrier.cluster.arrive.release.aligned;")
    instruction("barrier.cluster.wait.acquire.aligned;")
    total = own["parts"][0]
    for n in range(1, walk.parts):
        total += own["parts"][n]
    return total


def give(value: jax.Array, tile: Any, to: int) -> None:
    """Writes a tile of another block of the cluster."""

    @plgpu.inline_mgpu(arg_types=(plgpu.Layout.WGMMA, plgpu.RefType()))
    def written(_, value, tile):
        from jax._src.lib.mlir import ir
        from jax._src.lib.mlir.dialects import arith, gpu
        from jax.experimental.mosaic.gpu import utils

        block = arith.constant(ir.IndexType.get(), to)
        theirs = utils.get_cluster_ref(tile, gpu.Dimension.x, block)
        value.store_untiled(theirs, optimized=False)

    written(value, tile)  # pyright: ignore[reportCallIssue]  the first is Mosaic's


def tell_all(walk: Walk, own: Refs, place: Place) -> None:
    """What this block stored last is there for every block."""
    plgpu.wait_smem_to_gmem(0, wait_read_only=False)
    if walk.barrier == "grid":
        order_copies()
        plgpu.semaphore_signal(own["told"].at[place.tile], 1, memory_scope="gpu")
    elif walk.barrier == "cluster":
        order_copies()
        instruction("barrier.cluster.arrive.release.aligned;")


def await_all(walk: Walk, own: Refs, place: Place, times: Any) -> None:
    """Waits until every block of the tile has told as often."""
    if walk.barrier == "grid":
        plgpu.semaphore_wait(
            own["told"].at[place.tile],
            times * walk.blocks,
            decrement=False,
            memory_scope="gpu",
        )
        order_copies()
    elif walk.barrier == "cluster":
        # Not plgpu.ClusterBarrier: a word in each block's shared memory, at which a
        # quick block's second arrival may count for a slow one's first, still under
        # way; and it orders memory within one block alone.
        instruction("barrier.cluster.wait.acquire.aligned;")
        order_copies()


def meet_warps() -> None:
    """Waits until all warps of the block have come so far."""

    @plgpu.inline_mgpu()
    def written(*_):
        from jax.experimental.mosaic import gpu as mosaic

        mosaic.warpgroup_barrier()

    written()


def order_copies() -> None:
    """Orders copies of the bulk engine (the async proxy) around a barrier.

    A barrier orders ordinary accesses; the engine that carries h is not one.
    """
    instruction("fence.proxy.async.global;")


def instruction(text: str) -> None:
    """One of PTX's, by all threads of the block."""

    @plgpu.inline_mgpu()
    def written(*_):
        from jax._src.lib.mlir import ir
        from jax._src.lib.mlir.dialects import llvm

        none = ir.Type.parse("!llvm.void")
        llvm.inline_asm(none, [], text, "~{memory}", has_side_effects=True)

    written()
