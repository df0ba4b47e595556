"""What one block of a persistent Hopper kernel does, from the first step to the last.

Block j owns some cells: their columns of wh stay in its shared memory, their c in its
registers. Of other blocks it needs, once a step, what enters the product with wh: h
forward, dz backward. That goes through global memory (it stays in L2), and a barrier
tells when all of it is there:

    grid     a counter in global memory; all blocks of a tile have to be resident
    cluster  the hardware's own barrier between the blocks of one cluster
    alone    one block has all cells, and waits for nobody

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

from kernels.lstm.gpu_arithmetic import (
    BEGINS,
    BY_EXP,
    BY_TANH,
    NEXT_BEGINS,
    VALID,
    Squash,
    Stepped,
    advance,
    through_gates,
    unless,
    where,
)
from kernels.lstm.gpu_exchange import (
    Place,
    Refs,
    accumulate,
    await_all,
    fetch,
    keep_weights,
    load_flags,
    load_gates,
    peepholes,
    rows_of,
    store_gates,
    tell_all,
)
from kernels.lstm.gpu_tiles import MATRIX_ROWS, Walk


def forward(walk: Walk, ins: Refs, outs: Refs, own: Refs) -> None:
    """All steps; equations: spec.py."""
    place, squash = Place.here(walk), squash_of(walk)
    real = pl.ds(0, walk.rows)
    keep_weights(walk, ins["wh"].at[place.block], own)
    h = fetch(ins["h"].at[place.rows, place.cells], own["y"], real, own)
    c = fetch(ins["c"].at[place.rows, place.cells], own["cells"], real, own)
    h_mask = rows_of(ins, "h_mask", place, own["y"], real, own)
    peephole = peepholes(ins, place, own["cells"], own)

    def load(s: Any, slot: Any) -> None:
        t = walk.at(s)
        load_gates(walk, ins["xp"], own["xp"], own["inputs_there"], place, t, slot)
        load_flags(ins, own, place, t, slot)

    load(0, 0)
    first = fetch(ins["first"].at[place.rows, place.cells], own["y"], real, own)
    show(walk, outs, own, place, first, 0)

    def step(s: Any, state: tuple[jax.Array, jax.Array]):
        t, slot = walk.at(s), lax.rem(s, 2)

        @pl.when(s + 1 < walk.time)
        def _():
            load(s + 1, 1 - slot)

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
    plgpu.wait_smem_to_gmem(0, wait_read_only=True)
    own["y"][...] = h.astype(own["y"].dtype)
    own["cells"][...] = c
    plgpu.commit_smem()
    for name, out in (("y", "h"), ("cells", "c")):
        plgpu.copy_smem_to_gmem(
            own[name].at[real], outs[out].at[place.rows, place.cells]
        )
    plgpu.wait_smem_to_gmem(0)


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


def backward(walk: Walk, ins: Refs, outs: Refs, own: Refs) -> None:
    """All steps of the cotangents."""
    place, squash = Place.here(walk), squash_of(walk)
    dtype, real = own["dz"].dtype, pl.ds(0, walk.rows)
    keep_weights(walk, ins["wh"].at[place.block], own)
    dh = fetch(ins["h"].at[place.rows, place.cells], own["state"], real, own)
    dc = fetch(ins["c"].at[place.rows, place.cells], own["state"], real, own)
    h_mask = rows_of(ins, "h_mask", place, own["dz"].at[0], real, own)
    peephole = peepholes(ins, place, own["state"], own)

    def load(s: Any, slot: Any) -> None:
        t, there = walk.at(s), own["inputs_there"]
        load_flags(ins, own, place, t, slot)
        load_gates(walk, ins["gates"], own["gates"], there, place, t, slot)
        for name in ("cells", "dy"):
            plgpu.copy_gmem_to_smem(
                ins[name].at[t, place.rows, place.cells],
                own[name].at[slot, real],
                there.at[slot],
            )

    load(0, 0)

    def step(s: Any, state: tuple[jax.Array, jax.Array]):
        dh, dc = state
        t, slot = walk.at(s), lax.rem(s, 2)

        @pl.when(s + 1 < walk.time)
        def _():
            load(s + 1, 1 - slot)

        plgpu.barrier_wait(own["inputs_there"].at[slot])
        flags = own["flags"][slot] if "flags" in ins else None
        gates = [own["gates"][slot, n].astype(jnp.float32) for n in range(4)]
        d_out = dh + own["dy"][slot].astype(jnp.float32)
        dz, dc_in = through_gates(
            squash, gates, own["cells"][slot], d_out, dc, peephole
        )
        for n, part in enumerate(dz):
            own["dz"][n] = unless(flags, VALID, part, absent=True).astype(dtype)
        plgpu.commit_smem()
        store_gates(walk, own["dz"], outs["dz"], place, t)
        tell_all(walk, own, place)
        await_all(walk, own, place, s + 1)

        before = product(walk, outs["dz"].at[t, place.rows], walk.cells, own)
        before = before if h_mask is None else before * h_mask
        if flags is None:
            return before, dc_in
        before, dc_in = unless(flags, BEGINS, before), unless(flags, BEGINS, dc_in)
        return where(flags, VALID, before, dh), where(flags, VALID, dc_in, dc)

    dh, dc = lax.fori_loop(0, walk.time, step, (dh, dc))
    for name, value in (("h", dh), ("c", dc)):
        own["state"][...] = value
        plgpu.commit_smem()
        to = outs[name].at[place.rows, place.cells]
        plgpu.copy_smem_to_gmem(own["state"].at[real], to)
        plgpu.wait_smem_to_gmem(0)


def product(walk: Walk, rows: Any, columns: int, own: Refs) -> jax.Array:
    """All blocks' `rows` times this block's columns of wh."""

    def summed(sums: Any) -> jax.Array:
        accumulate(walk, sums, rows, own)
        return sums[...]

    return pl.run_scoped(summed, plgpu.ACC((MATRIX_ROWS, columns), jnp.float32))


def squash_of(walk: Walk) -> Squash:
    return BY_TANH if walk.approximate else BY_EXP
