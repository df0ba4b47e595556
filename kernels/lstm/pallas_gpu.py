"""The LSTM on NVIDIA GPUs: which sweeps the persistent kernels take, and what else.

gpu_sweeps.py are those kernels, for Hopper; pallas_gpu_cell.py is the fused cell, for
all else. They are imported when a call is made: Mosaic GPU takes 0.3 s to import.
"""

import jax

from kernels.lstm import gpu_measured, gpu_tiles, pallas_gpu_cell
from kernels.lstm.backend import Backend, Core, Swept, SweptBack
from kernels.lstm.gpu_tiles import MATRIX_ROWS
from kernels.lstm.spec import Case, LstmState


def supports(case: Case) -> str | None:
    """None where the persistent kernels or the fused cell can."""
    return None if persistent(case) is None else pallas_gpu_cell.supports(case)


def persistent(case: Case) -> str | None:
    """None on Hopper where the blocks are all resident at once, or why not."""
    card = gpu_tiles.present(case.platform)
    if card is None:
        return gpu_tiles.absent(case.platform, "interpreted_gpu")
    if card.capability[0] != 9:
        version = ".".join(map(str, card.capability))
        return f"it is for Hopper (compute capability 9), and {card.name} has {version}"
    reason = unfit(case)
    if reason is not None:
        return reason
    sweeps = gpu_tiles.sweeps(case)
    if all(gpu_tiles.chosen(sweep, card) for sweep in sweeps):
        return None
    if gpu_tiles.side_by_side():
        return (
            f"of this size it runs not beside {gpu_tiles.CONCURRENT} in XLA_FLAGS: two "
            f"launches at once could wait for each other's places for ever"
        )
    return too_large(case, card)


def hesitates(case: Case) -> str | None:
    """Why it is not taken unless it is named; asked of what it supports."""
    reason = persistent(case)
    if reason is not None and gpu_measured.unproven(case) is None:
        return f"it can by its fused cell alone, of which nothing is measured: {reason}"
    return gpu_measured.unproven(case)


def unfit(case: Case) -> str | None:
    """Why no card can do this case, or None."""
    if case.dtype == "float32":
        return (
            "it takes bfloat16 and float16: the tensor cores would round float32 to "
            "TF32, 11 bits where the op promises 24"
        )
    if case.dtype not in gpu_tiles.DTYPES:
        return f"it takes {' and '.join(gpu_tiles.DTYPES)}, and x is {case.dtype}"
    if case.projection:
        return "it takes no projection: h would need a second exchange a step"
    return None


def too_large(case: Case, card: gpu_tiles.Card) -> str:
    tiles, _ = gpu_tiles.row_tiles(case.batch)
    return (
        f"hidden {case.hidden} and batch {case.batch} ({tiles} tiles of "
        f"{MATRIX_ROWS} rows) need more blocks, or more shared memory for each, than "
        f"the {card.processors} multiprocessors of {card.name} hold at once: blocks "
        f"that wait for others would never end"
    )


def forward(xp: jax.Array, core: Core, reverse: bool, keep: str | None) -> Swept:
    """As xla.forward."""
    from kernels.lstm import gpu_sweeps

    return gpu_sweeps.forward(xp, core, reverse, keep)


def backward(
    gates: jax.Array,
    cells: jax.Array,
    core: Core,
    reverse: bool,
    dy: jax.Array,
    dlast: LstmState,
) -> SweptBack:
    """As xla.backward; wide gates are rounded to x's dtype, as `store` keeps them."""
    from kernels.lstm import gpu_sweeps

    return gpu_sweeps.backward(gates, cells, core, reverse, dy, dlast)


BACKEND = Backend(supports, forward, backward, "store", hesitates=hesitates)
