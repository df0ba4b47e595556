"""The recurrent core in C++ on CPU; native.cc says how it goes about it.

XLA runs a step's product, its gates and its writes as passes of their own over memory,
and packs wh anew at each step. Here a step is one pass, and wh is packed once a call.
vmap is one call too: of more rows, or where weights differ, of axes in front.
"""

from pathlib import Path

import jax
import jax.numpy as jnp

from kernels.lstm.backend import Backend, Core, Streamed, Swept, SweptBack
from kernels.lstm.spec import Case, LstmState
from kernels.native import build
from kernels.native.vmapped import joining_rows

SOURCE = Path(__file__).with_name("native.cc")
TARGETS = ("NativeLstmForward", "NativeLstmBackward", "NativeLstmWeights")


def supports(case: Case) -> str | None:
    """None, or why a case is left to the others."""
    if case.platform != "cpu":
        return f"it is C++ for CPUs, and this runs on {case.platform}"
    if case.dtype != "float32":
        return f"{case.dtype}: only float32 is done"
    if case.peephole or case.projection:
        return "peepholes and projections are not in it"
    return build.missing(SOURCE, TARGETS)


def streams(case: Case) -> bool:
    """x·wx inside the sweep costs no memory for xp; a large wx is read at each step."""
    return case.features * 4 * case.hidden * 4 <= 2**20


def forward(
    xp: jax.Array | Streamed, core: Core, reverse: bool, keep: str | None
) -> Swept:
    """See xla.forward."""
    if isinstance(xp, Streamed):
        x, wx, b = xp.x, xp.weights.wx, xp.weights.b
    else:
        x, wx, b = xp, _nothing((0, xp.shape[2])), _nothing((0,))

    def run(x, *others):
        time, batch, hidden = *x.shape[:2], core.wh.shape[0]
        shapes = (
            (time, batch, hidden),
            (batch, hidden),
            (batch, hidden),
            (time, batch, 4 * hidden) if keep == "gates" else (0,),
            (time, batch, hidden) if keep is not None else (0,),
        )
        return _call("NativeLstmForward", shapes)(x, *others, reverse=reverse)

    masks, rows_of_masks = _masks(core)
    rows = (1, None, None, None, 0, 0, *rows_of_masks)
    rows_kept = (1 if keep == "gates" else None, None if keep is None else 1)
    call = joining_rows(run, rows, (1, 0, 0, *rows_kept))
    y, h, c, gates, cells = call(x, wx, b, core.wh, *core.state, *masks)
    kept = (gates if keep == "gates" else None, cells if keep is not None else None)
    return Swept(y, LstmState(h, c), *kept)


def backward(
    gates: jax.Array,
    cells: jax.Array,
    core: Core,
    reverse: bool,
    dy: jax.Array,
    dlast: LstmState,
) -> SweptBack:
    """See xla.backward."""

    def run(gates, cells, *others):
        shapes = (gates.shape, cells.shape[1:], cells.shape[1:])
        return _call("NativeLstmBackward", shapes)(
            gates, cells, *others, reverse=reverse
        )

    masks, rows_of_masks = _masks(core)
    call = joining_rows(run, (1, 1, None, 1, 0, 0, *rows_of_masks), (1, 0, 0))
    dz, h, c = call(gates, cells, core.wh, dy, *dlast, *masks)
    return SweptBack(dz, None, LstmState(h, c))


def weight_gradients(
    x: jax.Array, h: jax.Array, dz: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """See gradients.weight_gradients."""
    columns = dz.shape[2]
    shapes = ((x.shape[2], columns), (h.shape[2], columns), (columns,))
    dwx, dwh, db = _call("NativeLstmWeights", shapes)(x, h, dz)
    return dwx, dwh, db


def _masks(core: Core) -> tuple[list[jax.Array], list[int | None]]:
    """h_mask, lengths and resets, an empty array for each that is absent.

    And which of their axes has the batch.
    """
    mask, (lengths, resets) = core.h_mask, core.masks
    arrays = [
        _nothing((0,)) if mask is None else mask,
        jnp.zeros(0, jnp.int32) if lengths is None else lengths.astype(jnp.int32),
        jnp.zeros(0, bool) if resets is None else resets,
    ]
    given = zip((mask, lengths, resets), (0, 0, 1), strict=True)
    return arrays, [None if array is None else axis for array, axis in given]


def _nothing(shape: tuple[int, ...]) -> jax.Array:
    return jnp.zeros(shape, jnp.float32)


def _call(target: str, shapes: tuple[tuple[int, ...], ...]):
    results = tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    return jax.ffi.ffi_call(target, results, vmap_method="broadcast_all")


BACKEND = Backend(supports, forward, backward, "store", streams, weight_gradients)
