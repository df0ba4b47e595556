"""One step in one TPU kernel, for a wh that VMEM cannot hold: wh streams through it.

The loop is xla.py's, with its product and its arithmetic replaced by a kernel. At these
sizes a step waits for wh to come from the main memory, and for nothing else: tiles of
wh are fetched while the ones before them are multiplied, and gates never leave VMEM
between the product and their squashing. Forward, the grid is (rows, cells, rows of wh);
backward (rows, cells, columns of whᵀ): dz of some cells is made once, and used for all
columns. Each gate's part of an array is a block of its own, so nothing is moved.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from kernels.lstm import tpu_cell_tiles, tpu_kernels, tpu_tiles, xla
from kernels.lstm.backend import Backend, Core
from kernels.lstm.product import dot
from kernels.lstm.spec import Case
from kernels.lstm.tpu_tiles import padded

GATES = range(4)


def supports(case: Case) -> str | None:
    """None on a TPU: tiles get smaller until they fit."""
    if tpu_tiles.present(case.platform) is None:
        return (
            f"it is for TPUs, and this is a {case.platform} "
            f"(backend='kernels.lstm.interpreted_cell' runs its kernels anywhere)"
        )
    if case.dtype not in tpu_tiles.DTYPES:
        return f"it takes {' and '.join(tpu_tiles.DTYPES)}, and x is {case.dtype}"
    return None


def forward(xp, core: Core, reverse: bool, keep: str | None, interpret: Any = False):
    """As xla.forward; `interpret` as for pl.pallas_call."""
    step_of = functools.partial(_advance, keep == "gates", interpret)
    return xla.forward(xp, core, reverse, keep, step_of)


def backward(
    gates, cells, core: Core, reverse: bool, dy, dlast, interpret: Any = False
):
    """As xla.backward; wide gates are rounded to x's dtype, as `store` keeps them."""
    step_of = functools.partial(_retreat, interpret)
    return xla.backward(
        gates.astype(core.wh.dtype), cells, core, reverse, dy, dlast, step_of
    )


BACKEND = Backend(supports, forward, backward, "store")


def _advance(keep_gates: bool, interpret: Any, core: Core) -> Callable:
    """xla.product_and_cell, as a kernel."""
    dtype, precise = core.wh.dtype, core.state.c.dtype
    rows, hidden = core.state.c.shape
    cells, inner = padded(hidden), padded(core.wh.shape[0])
    tile = tpu_cell_tiles.chosen(False, rows, cells, inner, dtype.itemsize)
    across = cells // tile.width
    wh = tpu_tiles.to(tpu_tiles.to_gates(core.wh, cells), 0, inner)

    def gate(n: int, *shape: int, deep: bool = False) -> pl.BlockSpec:
        return pl.BlockSpec(shape, lambda b, j, k: (k if deep else b, n * across + j))

    here = (tile.rows, tile.width)
    some = pl.BlockSpec(here, lambda b, j, k: (b, j))
    specs = {
        "h": pl.BlockSpec((tile.rows, tile.depth), lambda b, j, k: (b, k)),
        "c": some,
        "z": [gate(n, *here) for n in GATES],
        "wh": [gate(n, tile.depth, tile.width, deep=True) for n in GATES],
    }
    fixed = {}
    if core.peephole is not None:
        fixed["peephole"] = tpu_tiles.to(core.peephole, 1, cells).astype(precise)
        specs["peephole"] = pl.BlockSpec((3, tile.width), lambda b, j, k: (0, j))
    outs = {"c": precise, "out": dtype}
    wanted: dict[str, Any] = {
        name: jax.ShapeDtypeStruct((rows, cells), of) for name, of in outs.items()
    }
    out_specs: dict[str, Any] = dict.fromkeys(wanted, some)
    if keep_gates:
        wanted["gates"] = [jax.ShapeDtypeStruct((rows, cells), dtype) for _ in GATES]
        out_specs["gates"] = [some for _ in GATES]
    call = pl.pallas_call(
        _advance_tile,
        grid=(pl.cdiv(rows, tile.rows), across, inner // tile.depth),
        in_specs=[specs],
        out_specs=out_specs,
        out_shape=wanted,
        scratch_shapes=[pltpu.VMEM((len(GATES), *here), precise)],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary"),
            vmem_limit_bytes=tile.vmem,
        ),
        name="lstm_cell_forward",
        interpret=interpret,
    )

    def step(z: jax.Array, seen: jax.Array, c: jax.Array):
        z = tpu_tiles.to_gates(z, cells)
        given = {
            "h": tpu_tiles.to(seen, 1, inner),
            "c": tpu_tiles.to(c, 1, cells),
            "z": [z for _ in GATES],
            "wh": [wh for _ in GATES],
        }
        got = call(given | fixed)
        gates = None
        if keep_gates:
            parts = [part[:, :hidden] for part in got["gates"]]
            gates = jnp.concatenate(parts, axis=1)
        return gates, got["c"][:, :hidden], got["out"][:, :hidden]

    return step


def _advance_tile(ins, outs, sums) -> None:
    """Some cells of a step: h·wh is added up along the grid's last axis."""
    k = pl.program_id(2)

    @pl.when(k == 0)
    def _():
        for n in GATES:
            sums[n] = ins["z"][n][...].astype(sums.dtype)

    for n in GATES:
        sums[n] += dot(ins["h"][...], ins["wh"][n][...])

    @pl.when(k == pl.num_programs(2) - 1)
    def _():
        peephole = ins["peephole"][...] if "peephole" in ins else None
        z = [sums[n] for n in GATES]
        gates, c = tpu_kernels.activate(z, ins["c"][...], peephole)
        outs["c"][...] = c
        outs["out"][...] = (gates[3] * jnp.tanh(c)).astype(outs["out"].dtype)
        for ref, gate in zip(outs.get("gates", ()), gates, strict=False):
            ref[...] = gate.astype(ref.dtype)


def _retreat(interpret: Any, core: Core) -> Callable:
    """xla.cell_and_product, as a kernel."""
    dtype, precise = core.wh.dtype, core.state.c.dtype
    rows, hidden = core.state.c.shape
    projected = core.wh.shape[0]
    cells, outer = padded(hidden), padded(projected)
    tile = tpu_cell_tiles.chosen(True, rows, cells, outer, dtype.itemsize)
    across = cells // tile.width
    back = tpu_tiles.to(tpu_tiles.to_gates(core.wh, cells), 0, outer).T
    here = (tile.rows, tile.width)
    some = pl.BlockSpec(here, lambda b, k, j: (b, k))

    def gate(n: int) -> pl.BlockSpec:
        return pl.BlockSpec(here, lambda b, k, j: (b, n * across + k))

    def weights(n: int) -> pl.BlockSpec:
        shape = (tile.width, tile.depth)
        return pl.BlockSpec(shape, lambda b, k, j: (n * across + k, j))

    specs = {
        "gates": [gate(n) for n in GATES],
        "wh": [weights(n) for n in GATES],
        "c": some,
        "d_out": some,
        "dc": some,
    }
    fixed = {}
    if core.peephole is not None:
        fixed["peephole"] = tpu_tiles.to(core.peephole, 1, cells).astype(precise)
        specs["peephole"] = pl.BlockSpec((3, tile.width), lambda b, k, j: (0, k))
    pieces = outer // tile.depth
    call = pl.pallas_call(
        _retreat_tile,
        grid=(pl.cdiv(rows, tile.rows), across, pieces),
        in_specs=[specs],
        out_specs={
            "dz": [some for _ in GATES],
            "dc": some,
            "dh": pl.BlockSpec(
                (pieces, tile.rows, tile.depth),
                lambda b, k, j: (0, b, 0),
                pipeline_mode=pl.Buffered(1),
            ),
        },
        out_shape={
            "dz": [jax.ShapeDtypeStruct((rows, cells), dtype) for _ in GATES],
            "dc": jax.ShapeDtypeStruct((rows, cells), precise),
            "dh": jax.ShapeDtypeStruct((pieces, rows, tile.depth), precise),
        },
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "arbitrary", "arbitrary"),
            vmem_limit_bytes=tile.vmem,
        ),
        name="lstm_cell_backward",
        interpret=interpret,
    )

    def step(gates: jax.Array, c: jax.Array, d_output: jax.Array, dc: jax.Array):
        gates = tpu_tiles.to_gates(gates, cells)
        given: dict[str, Any] = {
            "gates": [gates for _ in GATES],
            "wh": [back for _ in GATES],
        }
        for name, array in (("c", c), ("d_out", d_output), ("dc", dc)):
            given[name] = tpu_tiles.to(array, 1, cells)
        got = call(given | fixed)
        dz = jnp.concatenate([part[:, :hidden] for part in got["dz"]], axis=1)
        dh = got["dh"].swapaxes(0, 1).reshape(rows, outer)[:, :projected]
        return dz, got["dc"][:, :hidden], dh

    return step


def _retreat_tile(ins, outs) -> None:
    """Some cells of a step back, and what they add to some columns of dh."""
    k, j = pl.program_id(1), pl.program_id(2)

    @pl.when(j == 0)
    def _():
        peephole = ins["peephole"][...] if "peephole" in ins else None
        dc = ins["dc"][...]
        gates = [ref[...].astype(dc.dtype) for ref in ins["gates"]]
        dz, dc = tpu_kernels.through_gates(
            gates, ins["c"][...], ins["d_out"][...], dc, peephole
        )
        outs["dc"][...] = dc
        for ref, part in zip(outs["dz"], dz, strict=True):
            ref[...] = part.astype(ref.dtype)

    @pl.when(k == 0)
    def _():
        outs["dh"][j] = jnp.zeros_like(outs["dh"][j])

    for start in range(0, ins["wh"][0].shape[1], tpu_kernels.PIECE):
        some = slice(start, start + tpu_kernels.PIECE)
        outs["dh"][j, :, some] += sum(
            dot(dz[...], wh[:, some])
            for dz, wh in zip(outs["dz"], ins["wh"], strict=True)
        )
