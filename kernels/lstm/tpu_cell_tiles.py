"""How a step's wh is cut into tiles that VMEM holds, for pallas_cell.py.

What a tile takes is added up here before it is compiled; `need` is held to the
compiler's own figure by a test.
"""

from collections.abc import Iterator
from typing import NamedTuple

from kernels import target
from kernels.lstm import tpu_tiles
from kernels.lstm.tpu_memory import LANES, MIB, WIDE
from kernels.lstm.tpu_tiles import GENERATIONS

GATES = 4
WIDTHS = (256, 128)  # cells of a tile
DEPTHS = (2048, 1024, 512, 256, 128)  # rows of wh, or columns of whᵀ, of a tile
SPARE = 2**17  # bytes: a cell of 384 took 84 KiB more than the sum (v7x, float32)
RUN = 4096  # bytes of the longest depth; twice as many in float32 are split into parts


class Tile(NamedTuple):
    rows: int  # of the batch
    width: int  # cells
    depth: int  # rows of wh, or columns of whᵀ
    vmem: int  # bytes that the compiler may use


def chosen(backward: bool, batch: int, hidden: int, across: int, itemsize: int) -> Tile:
    """The largest tile that fits: rows first, for each tile of them reads all of wh.

    Args:
      hidden, across: cells, and rows of wh, both padded.
    """
    generation = tpu_tiles.present(target.platform()) or "v5e"
    vmem = GENERATIONS[generation].vmem
    for rows, width, depth in _sizes(batch, hidden, across):
        if depth * itemsize > RUN:
            continue
        least = need(backward, rows, width, depth, across, itemsize)
        if least * 17 // 16 + MIB <= vmem:
            # A v5e spills up to twice as much of float32 products: it has room for it.
            return Tile(rows, width, depth, min(vmem, 2 * least + MIB))
    raise ValueError(f"no tile of {batch} rows and {across} columns fits {generation}")


def _sizes(batch: int, hidden: int, across: int) -> Iterator[tuple[int, int, int]]:
    for rows in tpu_tiles.row_counts(batch):
        for depth in (d for d in DEPTHS if across % d == 0):
            for width in (w for w in WIDTHS if hidden % w == 0):
                yield rows, width, depth


def need(
    backward: bool, rows: int, width: int, depth: int, across: int, itemsize: int
) -> int:
    """Bytes of VMEM for the blocks, two of each, and for the values between.

    Of the latter the most that was seen: forward it follows the size of wh's tile.
    """
    rows = -(-rows // 8) * 8
    weights = GATES * width * depth * itemsize
    if backward:
        streamed = weights + rows * width * (8 * itemsize + 4 * WIDE)
        between = weights // 2 if itemsize == WIDE else 0
        between += rows * (across + depth + 6 * width) * WIDE
    else:
        streamed = weights
        streamed += rows * (depth * itemsize + width * (9 * itemsize + 2 * WIDE))
        between = weights * 7 // 16 + rows * GATES * width * WIDE
    return 2 * streamed + between + SPARE


assert LANES == DEPTHS[-1] == WIDTHS[-1]  # every padded size is a whole number of these
