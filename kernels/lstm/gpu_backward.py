"""What one block of a persistent Hopper kernel does on the way back.

As gpu_forward.py, but here a block owns rows of wh, those of its cells, and what it
needs of other blocks is dz: all gates' of a step. Each step's dz has a place of its own
in global memory, where it is an output as well. Four blocks of a cluster may share that
product: each has one gate's columns of the rows of all four, and gives the others what
it has summed for their cells.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels.lstm.gpu_arithmetic import (
    BEGINS,
    VALID,
    Squash,
    squash_of,
    through_gates,
    unless,
    where,
)
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
    shared,
    store_gates,
    tell_all,
)
from kernels.lstm.gpu_tiles import Walk


def backward(walk: Walk, ins: Refs, outs: Refs, own: Refs) -> None:
    """All steps of the cotangents."""
    place, squash = Place.here(walk), squash_of(walk.approximate)
    real = pl.ds(0, walk.rows)
    keep_weights(walk, ins["wh"].at[place.block], own)
    dh = fetch(ins["h"].at[place.rows, place.cells], own["state"], real, own)
    dc = fetch(ins["c"].at[place.rows, place.cells], own["state"], real, own)
    h_mask = rows_of(ins, "h_mask", place, own["dz"].at[0], real, own)
    peephole = peepholes(ins, place, own["state"], own)
    load(walk, ins, own, place, 0, 0)

    def step(s: Any, state: tuple[jax.Array, jax.Array]):
        t, slot = walk.at(s), lax.rem(s, 2)
        plgpu.barrier_wait(own["inputs_there"].at[slot])
        flags = own["flags"][slot] if "flags" in ins else None
        dz, dc = cotangents(squash, own, slot, state, peephole)
        show_dz(walk, outs, own, place, t, dz, flags)

        @pl.when(s + 1 < walk.time)
        def _():  # while the others' dz is under way
            load(walk, ins, own, place, s + 1, 1 - slot)

        await_all(walk, own, place, s + 1)
        seen = outs["dz"].at[t, place.rows, place.columns(walk)]
        dh = shared(walk, product(walk, seen, walk.columns, own), own, place)
        dh = dh if h_mask is None else dh * h_mask
        return before_step(flags, dh, dc, state)

    dh, dc = lax.fori_loop(0, walk.time, step, (dh, dc))
    store_last(outs, own, place, real, dh, dc)


def load(walk: Walk, ins: Refs, own: Refs, place: Place, s: Any, slot: Any) -> None:
    """Begins to fetch what a step back needs besides dz."""
    t, there = walk.at(s), own["inputs_there"]
    real = pl.ds(0, walk.rows)
    load_flags(ins, own, place, t, slot)
    load_gates(walk, ins["gates"], own["gates"], there, place, t, slot)
    for name in ("cells", "dy"):
        plgpu.copy_gmem_to_smem(
            ins[name].at[t, place.rows, place.cells],
            own[name].at[slot, real],
            there.at[slot],
        )


def cotangents(
    squash: Squash,
    own: Refs,
    slot: Any,
    state: tuple[jax.Array, jax.Array],
    peephole: list[jax.Array] | None,
) -> tuple[list[jax.Array], jax.Array]:
    """Those of a step's four gates' sums, and of the c that entered it."""
    dh, dc = state
    gates = [own["gates"][slot, n].astype(jnp.float32) for n in range(4)]
    d_out = dh + own["dy"][slot].astype(jnp.float32)
    return through_gates(squash, gates, own["cells"][slot], d_out, dc, peephole)


def show_dz(
    walk: Walk,
    outs: Refs,
    own: Refs,
    place: Place,
    t: Any,
    dz: list[jax.Array],
    flags: jax.Array | None,
) -> None:
    """Gives all blocks what the next product is of: zero where a row has ended."""
    dtype = own["dz"].dtype
    for n, part in enumerate(dz):
        own["dz"][n] = unless(flags, VALID, part, absent=True).astype(dtype)
    plgpu.commit_smem()
    store_gates(walk, own["dz"], outs["dz"], place, t)
    tell_all(walk, own, place)


def before_step(
    flags: jax.Array | None,
    dh: jax.Array,
    dc: jax.Array,
    state: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
    """The state's cotangents before a step.

    None where the row begins anew at it, those after it where the row has ended.
    """
    if flags is None:
        return dh, dc
    dh, dc = unless(flags, BEGINS, dh), unless(flags, BEGINS, dc)
    return where(flags, VALID, dh, state[0]), where(flags, VALID, dc, state[1])


def store_last(
    outs: Refs, own: Refs, place: Place, real: Any, dh: jax.Array, dc: jax.Array
) -> None:
    """The cotangents of the initial state."""
    for name, value in (("h", dh), ("c", dc)):
        own["state"][...] = value
        plgpu.commit_smem()
        to = outs[name].at[place.rows, place.cells]
        plgpu.copy_smem_to_gmem(own["state"].at[real], to)
        plgpu.wait_smem_to_gmem(0)
