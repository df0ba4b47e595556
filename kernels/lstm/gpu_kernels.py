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
    BY_EXP,
    BY_TANH,
    Squash,
    activate,
    through_gates,
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

VALID, BEGINS, NEXT_BEGINS = 1, 2, 4  # bits of `flags`, for each row and step


def forward(walk: Walk, ins: Refs, outs: Refs, own: Refs) -> None:
    """All steps; equations: spec.py."""
    place, squash = Place.here(walk), squash_of(walk)
    dtype, real = own["y"].dtype, pl.ds(0, walk.rows)
    keep_weights(walk, ins["wh"].at[place.block], own)
    h = fetch(ins["h"].at[place.rows, place.cells], own["y"], real, own)
    c = fetch(ins["c"].at[place.rows, place.cells], own["cells"], real, own)
    h_mask = rows_of(ins, "h_mask", place, own["y"], real, own)
    peephole = peepholes(ins, place, own["cells"], own)

    def load(s: Any, slot: Any) -> None:
        t = walk.at(s)
        load_gates(walk, ins["xp"], own["xp"], own["inputs_there"], place, t, slot)
        load_flags(ins, own, place, t, slot)

    def show(h: jax.Array, slot: Any) -> None:
        """Gives all blocks what the next product is of."""
        own["seen"][...] = h.astype(dtype)
        plgpu.commit_smem()
        there = outs["seen"].at[slot, place.rows, place.cells]
        plgpu.copy_smem_to_gmem(own["seen"].at[real], there)
        tell_all(walk, own, place)

    load(0, 0)
    show(fetch(ins["first"].at[place.rows, place.cells], own["y"], real, own), 0)

    def step(s: Any, state: tuple[jax.Array, jax.Array]):
        h, c = state
        t, slot = walk.at(s), lax.rem(s, 2)

        @pl.when(s + 1 < walk.time)
        def _():
            load(s + 1, 1 - slot)

        await_all(walk, own, place, s + 1)

        def product(sums):
            accumulate(walk, sums, outs["seen"].at[slot, place.rows], own)
            return sums[...]

        width = 4 * walk.cells
        z = pl.run_scoped(product, plgpu.ACC((MATRIX_ROWS, width), jnp.float32))
        plgpu.barrier_wait(own["inputs_there"].at[slot])
        flags = own["flags"][slot] if "flags" in ins else None
        z = [
            z[:, n * walk.cells : (n + 1) * walk.cells]
            + own["xp"][slot, n].astype(jnp.float32)
            for n in range(4)
        ]
        c_in = unless(flags, BEGINS, c)
        gates, c_new = activate(squash, z, c_in, peephole)
        h_new = gates[3] * squash.tanh(c_new)
        # As everybody will see it: rounded.
        h_new = h_new.astype(dtype).astype(jnp.float32)
        y = unless(flags, VALID, h_new, absent=True)
        h, c_out = (
            (h_new, c_new)
            if flags is None
            else (where(flags, VALID, h_new, h), where(flags, VALID, c_new, c))
        )
        seen = unless(flags, NEXT_BEGINS, h)
        seen = seen if h_mask is None else seen * h_mask
        plgpu.wait_smem_to_gmem(0, wait_read_only=True)

        @pl.when(s + 1 < walk.time)
        def _():
            show(seen, 1 - slot)

        # Nobody waits for what follows.
        own["y"][...] = y.astype(dtype)
        if "gates" in outs:
            for n, gate in enumerate(gates):
                own["gates"][n] = gate.astype(dtype)
        if "cells" in outs:
            own["cells"][...] = c_in
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(
            own["y"].at[real], outs["y"].at[t, place.rows, place.cells]
        )
        if "gates" in outs:
            store_gates(walk, own["gates"], outs["gates"], place, t)
        if "cells" in outs:
            to = outs["cells"].at[t, place.rows, place.cells]
            plgpu.copy_smem_to_gmem(own["cells"].at[real], to)
        return h, c_out

    h, c = lax.fori_loop(0, walk.time, step, (h, c))
    plgpu.wait_smem_to_gmem(0, wait_read_only=True)
    own["y"][...] = h.astype(dtype)
    own["cells"][...] = c
    plgpu.commit_smem()
    for name, out in (("y", "h"), ("cells", "c")):
        plgpu.copy_smem_to_gmem(
            own[name].at[real], outs[out].at[place.rows, place.cells]
        )
    plgpu.wait_smem_to_gmem(0)


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

        def product(sums):
            accumulate(walk, sums, outs["dz"].at[t, place.rows], own)
            return sums[...]

        sums = plgpu.ACC((MATRIX_ROWS, walk.cells), jnp.float32)
        before = pl.run_scoped(product, sums)
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


def squash_of(walk: Walk) -> Squash:
    return BY_TANH if walk.approximate else BY_EXP


def where(flags: jax.Array, bit: int, then: jax.Array, otherwise: jax.Array):
    return jnp.where((flags & bit) != 0, then, otherwise)


def unless(
    flags: jax.Array | None, bit: int, value: jax.Array, absent: bool = False
) -> jax.Array:
    """`value`, and zero where a bit is set; with `absent`, where it is not."""
    if flags is None:
        return value
    zero = jnp.zeros_like(value)
    return where(flags, bit, value, zero) if absent else where(flags, bit, zero, value)
