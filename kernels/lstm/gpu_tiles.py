"""How the persistent GPU kernels cut a sweep into blocks, and what a card can hold.

Blocks wait for each other, so all of a launch have to be resident at once. A block that
can be launched at all fits a multiprocessor that is empty, so as many blocks as there
are multiprocessors always become resident, if whatever else runs there ends by itself:
kernels do, and blocks of a collective, which wait for the same block on other devices
and for none that has no place yet. That is the whole proof, and no launch is larger.

Two such launches at once could each hold places that the other waits for. In a process,
XLA's launches on a device follow each other, unless CONCURRENT says otherwise, which is
seen to; or a caller sends both to streams of their own by jax's compute_on, as
"gpu_stream:1", which is not; nor is what two processes launch under NVIDIA's MPS. A
cluster is placed as one by the hardware: where its blocks wait only for each other,
there may be any number of clusters. Where clusters wait for other clusters as well (the
way back in parts), each of the GROUPS of multiprocessors may have places left over that
are too few for one more, and so many blocks fewer are the most.
"""

import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kernels import target
from kernels.lstm.spec import Case

MATRIX_ROWS = 64  # of one product of the tensor cores
DTYPES = ("bfloat16", "float16")
COLUMNS = 64  # every gate is padded to whole tiles of shared memory
CLUSTER = 8  # blocks; more is not portable
# Of multiprocessors, each cluster within one: the eight GPCs of a Hopper, and four for
# what may have been left of others.
GROUPS = 12
# Cells of a block in the order of preference. 16 is the middle: fewer blocks read less
# and meet sooner, more blocks share the products. `launch/run bench rented-gpu` tries.
CELLS = (16, 8, 32)
# Blocks of a cluster that share the product of the way back: each reads one gate's dz,
# for the cells of all, and not all four gates' for its own: a quarter of what is read.
# H 768, B 16 on an H200: 3.1 µs a step for 5.3.
PARTS = (4, 1)
DEPTHS = (8, 6, 4, 3, 2)  # pieces of h or dz in flight

CONCURRENT = "--xla_gpu_command_buffer_scheduling_mode=CONCURRENT"


class Card(NamedTuple):
    """What decides whether a launch fits; of one NVIDIA GPU."""

    name: str
    processors: int  # multiprocessors
    capability: tuple[int, int]
    shared: int  # bytes of shared memory that one block may have


# Published by NVIDIA (Hopper tuning guide, H100 data sheet): 227 KiB a block.
H100 = Card("NVIDIA H100 80GB HBM3", 132, (9, 0), 227 * 1024)


class Walk(NamedTuple):
    """How a tile of the batch is worked on; all static."""

    time: int
    down: bool  # from the last step to the first
    rows: int  # of the batch, in one tile: a multiple of 8
    cells: int  # of one block
    blocks: int  # for one tile of the batch
    parts: int  # of a product that a cluster of as many blocks shares; of PARTS
    depth: int  # pieces of h (or dz) in flight
    piece: int  # columns of one
    barrier: str  # grid, cluster, alone
    approximate: bool  # tanh by one instruction, 5e-4 off at most

    @property
    def name(self) -> str:
        """What a search tells it by, among others of one sweep."""
        return f"{self.cells} cells, {self.parts} parts"

    @property
    def columns(self) -> int:
        """Of the way back's product: the cells of all blocks that share it."""
        return self.parts * self.cells

    def at(self, step: Any) -> Any:
        """The time of the step-th step taken."""
        return self.time - 1 - step if self.down else step


class Sweep(NamedTuple):
    """What a cut depends on."""

    backward: bool
    time: int
    batch: int
    hidden: int  # padded
    dtype: str
    flags: bool  # whether lengths or resets come along
    peephole: bool
    reverse: bool  # of this sweep


class Cut(NamedTuple):
    walk: Walk
    tiles: int  # of the batch
    shared: int  # bytes, by `need`

    @property
    def blocks(self) -> int:
        return self.tiles * self.walk.blocks


_compiling: ContextVar[Card | None] = ContextVar("card", default=None)


@contextmanager
def compiling_for(card: Card) -> Iterator[None]:
    """Inside, calls are traced for this card, whatever this machine has."""
    token = _compiling.set(card)
    try:
        with target.tracing_for("gpu"):
            yield
    finally:
        _compiling.reset(token)


def present(platform: str) -> Card | None:
    """The card that a call is traced for; None if it is none, or none is known of."""
    if platform != "gpu":
        return None
    here = jax.devices()[0]
    return _compiling.get() or (_card(here) if here.platform == "gpu" else None)


def absent(platform: str, interpreted: str) -> str:
    """Why nothing runs where there is no card."""
    if platform == "gpu":
        return "no card is known to compile for: see gpu_tiles.compiling_for"
    return (
        f"it is for NVIDIA GPUs, and this is a {platform} "
        f"(backend='kernels.lstm.{interpreted}' runs its kernels anywhere)"
    )


def _card(device: Any) -> Card | None:
    """None for one that is not NVIDIA's: AMD's have names for their capability."""
    found = re.fullmatch(r"(\d+)\.(\d+)", str(device.compute_capability))
    if found is None:
        return None
    capability = (int(found[1]), int(found[2]))
    shared = 227 * 1024 if capability[0] >= 9 else 99 * 1024
    return Card(device.device_kind, device.core_count, capability, shared)


def padded(hidden: int) -> int:
    return -(-max(hidden, 1) // COLUMNS) * COLUMNS


def row_tiles(batch: int) -> tuple[int, int]:
    """Tiles of the batch, and the rows of each: a multiple of 8 (of 16 bytes)."""
    tiles = -(-max(batch, 1) // MATRIX_ROWS)
    rows = -(-max(batch, 1) // tiles)
    return tiles, -(-rows // 8) * 8


def sweeps(case: Case) -> tuple[Sweep, Sweep]:
    """Forward and backward."""
    size = (case.time, case.batch, padded(case.hidden), case.dtype)
    has = (case.lengths or case.resets, case.peephole)
    forward = Sweep(False, *size, *has, case.reverse)
    return forward, Sweep(True, *size, *has, not case.reverse)


def chosen(
    sweep: Sweep,
    card: Card,
    cells: tuple[int, ...] = CELLS,
    name: str | None = None,
) -> Cut | None:
    """The cut to use; None where nothing fits without a risk of deadlock.

    Args:
      name: of the only one that will do.
    """
    found = cuts(sweep, card, cells)
    return next((cut for cut in found if name in (None, cut.walk.name)), None)


def cuts(sweep: Sweep, card: Card, cells: tuple[int, ...] = CELLS) -> list[Cut]:
    """Every cut that fits, the preferred first: a cluster's barrier is the quickest."""
    found = []
    for parts, width in itertools.product(PARTS, cells):
        tried = (_cut(sweep, width, parts, depth) for depth in DEPTHS)
        fit = (c for c in tried if c and c.shared <= card.shared and resident(c, card))
        found += [cut for cut in (next(fit, None),) if cut]
    return sorted(found, key=lambda cut: cut.walk.barrier == "grid")


def resident(cut: Cut, card: Card) -> bool:
    """Whether no block of a launch can wait for one that has not begun."""
    if cut.walk.barrier != "grid":
        return True
    lost = GROUPS * (cut.walk.parts - 1)
    return cut.blocks <= card.processors - lost and not side_by_side()


def side_by_side() -> bool:
    """Whether XLA was told to run launches that do not need each other at once."""
    return CONCURRENT in os.environ.get("XLA_FLAGS", "")


def _cut(sweep: Sweep, cells: int, parts: int, depth: int) -> Cut | None:
    # 32 cells and their peepholes are more than a thread's 255 registers hold.
    if sweep.hidden % cells or (sweep.peephole and 16 < cells < sweep.hidden):
        return None
    columns = sweep.hidden * (4 if sweep.backward else 1) // parts
    # 256 columns a copy were slower: 6.9 µs a step back against 5.5 on an H200.
    piece = 128 if columns % 128 == 0 else 64
    blocks = sweep.hidden // cells
    # A size of a cluster is a power of two.
    fits = blocks <= CLUSTER and blocks & (blocks - 1) == 0
    barrier = "alone" if blocks == 1 else "cluster" if fits else "grid"
    shareable = sweep.backward and barrier == "grid" and blocks % parts == 0
    if parts > 1 and not shareable:
        return None
    tiles, rows = row_tiles(sweep.batch)
    walk = Walk(
        time=sweep.time,
        down=sweep.reverse,
        rows=rows,
        cells=cells,
        blocks=blocks,
        parts=parts,
        depth=min(depth, columns // piece),
        piece=piece,
        barrier=barrier,
        approximate=sweep.dtype == "bfloat16",
    )
    return Cut(walk, tiles, need(sweep, walk))


def need(sweep: Sweep, walk: Walk) -> int:
    """Bytes of shared memory; what the compiler rounds up is less than 4 KiB."""
    narrow, wide = jnp.dtype(sweep.dtype).itemsize, 4
    tile = MATRIX_ROWS * walk.cells
    held = 4 * sweep.hidden * walk.cells * narrow
    pieces = walk.depth * MATRIX_ROWS * walk.piece * narrow
    if sweep.backward:  # gates, cells and dy twice; dz; the state
        tiles = 2 * tile * (4 * narrow + wide + narrow) + tile * (4 * narrow + wide)
        tiles += tile * wide * walk.parts * (walk.parts > 1)
    else:  # xp twice; gates; y, what wh sees; cells
        tiles = tile * (8 * narrow + 4 * narrow + 2 * narrow + wide)
    return held + pieces + tiles + 2 * tile * wide * sweep.flags + 4096
