"""What one block of a persistent Hopper kernel does forward, from first step to last.

Block j owns some cells: their columns of wh stay in its shared memory, their c in its
registers. Of other blocks it needs, once a step, the h that enters the product with wh:
that goes through global memory (it stays in L2), and a barrier tells when all of it is
there; gpu_exchange.py has both. The way back is gpu_backward.py.

Rows of the batch are the rows of the tensor cores' tiles, of which there are always
MATRIX_ROWS: rows beyond `rows` hold whatever was there, and are never written out.
Arrays come as named refs; which names there are tells what the call has.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.lstm.gpu_arithmetic import NEXT_BEGINS, Stepped, advance, squash_of, unless
from kernels.lstm.gpu_exchange import (
    Place,
    Refs,
    await_all,
    fetch,
    keep_weights,
    load_flags,
    load_gates,
    peepholes,
    product,
    rows_of,
    store_gates,
    tell_all,
)
from kernels.lstm.gpu_tiles import Walk


def forward(walk: Walk, ins: Refs, outs: Refs, own: Refs) -> None:
    """All steps; equations: spec.py."""
    place, squash = Place.here(walk), squash_of(walk.approximate)
    real = pl.ds(0, walk.rows)
    keep_weights(walk, ins["wh"].at[place.block], own)
    h = fetch(ins["h"].at[place.rows, place.cells], own["y"], real, own)
    c = fetch(ins["c"].at[place.rows, place.cells], own["cells"], real, own)
    h_mask = rows_of(ins, "h_mask", place, own["y"], real, own)
    peephole = peepholes(ins, place, own["cells"], own)

    load(walk, ins, own, place, 0, 0)
    first = fetch(ins["first"].at[place.rows, place.cells], own["y"], real, own)
    show(walk, outs, own, place, first, 0)

    def step(s: Any, state: tuple[jax.Array, jax.Array]):
        t, slot = walk.at(s), lax.rem(s, 2)

        @pl.when(s + 1 < walk.time)
        def _():
            load(walk, ins, own, place, s + 1, 1 - slot)

        await_all(walk, own, place, s + 1)
        seen = outs["seen"].at[slot, place.rows]
        z = product(walk, seen, 4 * walk.cells, own)
        plgpu.barrier_wait(own["inputs_there"].at[slot])
        flags = own["flags"][slot] if "flags" in ins else None
        z = with_inputs(walk, z, own["xp"], slot)
        stepped = advance(squash, z, state, peephole, flags, own["y"].dtype)
        seen = unless(flags, NEXT_BEGINS, stepped.h)
        seen = seen if h_mask is None else seen * h_mask
        plgpu.wait_smem_to_gmem(0, wait_read_only=True)

        @pl.when(s + 1 < walk.time)
        def _():
            show(walk, outs, own, place, seen, 1 - slot)

        store_step(walk, outs, own, place, t, stepped)  # nobody waits for it
        return stepped.h, stepped.c

    h, c = lax.fori_loop(0, walk.time, step, (h, c))
    store_last(outs, own, place, real, h, c)


def load(walk: Walk, ins: Refs, own: Refs, place: Place, s: Any, slot: Any) -> None:
    """Begins to fetch what a step needs besides h."""
    t = walk.at(s)
    load_gates(walk, ins["xp"], own["xp"], own["inputs_there"], place, t, slot)
    load_flags(ins, own, place, t, slot)


def with_inputs(walk: Walk, z: jax.Array, xp: Any, slot: Any) -> list[jax.Array]:
    """The four gates' sums, apart, with what x gives."""
    return [
        z[:, n * walk.cells : (n + 1) * walk.cells] + xp[slot, n].astype(jnp.float32)
        for n in range(4)
    ]


def show(
    walk: Walk, outs: Refs, own: Refs, place: Place, h: jax.Array, slot: Any
) -> None:
    """Gives all blocks what the next product is of."""
    own["seen"][...] = h.astype(own["seen"].dtype)
    plgpu.commit_smem()
    there = outs["seen"].at[slot, place.rows, place.cells]
    plgpu.copy_smem_to_gmem(own["seen"].at[pl.ds(0, walk.rows)], there)
    tell_all(walk, own, place)


def store_step(
    walk: Walk, outs: Refs, own: Refs, place: Place, t: Any, stepped: Stepped
) -> None:
    """Begins to write out y, and what the way back needs."""
    real = pl.ds(0, walk.rows)
    own["y"][...] = stepped.y.astype(own["y"].dtype)
    if "gates" in outs:
        for n, gate in enumerate(stepped.gates):
            own["gates"][n] = gate.astype(own["gates"].dtype)
    if "cells" in outs:
        own["cells"][...] = stepped.c_in
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(own["y"].at[real], outs["y"].at[t, place.rows, place.cells])
    if "gates" in outs:
        store_gates(walk, own["gates"], outs["gates"], place, t)
    if "cells" in outs:
        to = outs["cells"].at[t, place.rows, place.cells]
        plgpu.copy_smem_to_gmem(own["cells"].at[real], to)


def store_last(
    outs: Refs, own: Refs, place: Place, real: Any, h: jax.Array, c: jax.Array
) -> None:
    """The state after the last step taken."""
    plgpu.wait_smem_to_gmem(0, wait_read_only=True)
    own["y"][...] = h.astype(own["y"].dtype)
    own["cells"][...] = c
    plgpu.commit_smem()
    for name, out in (("y", "h"), ("cells", "c")):
        plgpu.copy_smem_to_gmem(
            own[name].at[real], outs[out].at[place.rows, place.cells]
        )
    plgpu.wait_smem_to_gmem(0)
