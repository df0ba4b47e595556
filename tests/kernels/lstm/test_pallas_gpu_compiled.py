"""The GPU kernels, compiled for an H100 by CUDA's own compiler; none is run here."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from kernels.lstm import gpu_compile, gpu_compile_cell, gpu_tiles, tpu_compile
from kernels.lstm.cases import tagged
from kernels.lstm.gpu_tiles import H100

missing = gpu_compile.missing()
if missing is not None:
    pytest.skip(missing, allow_module_level=True)

# To remake it: python -m kernels.lstm.gpu_compile > this file
GOLDEN = json.loads(Path(__file__).with_name("gpu_compiled.json").read_text())


@pytest.mark.parametrize(
    ("case", "dtype", "direction"), list(gpu_compile.rows()), ids=str
)
def test_nothing_spills_and_every_block_is_resident(case, dtype, direction):
    kernel, figures = gpu_compile.figures(case, dtype, direction)
    assert kernel.name == f"lstm_gpu_{direction}"
    assert kernel.spills == 0
    assert kernel.resident >= 1
    with gpu_tiles.compiling_for(H100):
        sweeps = gpu_tiles.sweeps(case.case(dtype))
    cut = gpu_tiles.chosen(sweeps[direction == "backward"], H100)
    assert cut is not None
    assert cut.blocks == kernel.blocks
    assert kernel.shared <= cut.shared <= kernel.shared + 4096
    if cut.walk.barrier == "grid":
        assert kernel.blocks <= H100.processors * kernel.resident
        # One counter for each tile of the batch: all of its blocks meet at it.
        assert kernel.counters == cut.tiles
        told, fence = "red.release.gpu", "fence.proxy.async.global"
        assert kernel.ptx.index(fence) < kernel.ptx.index(told)
        assert fence in kernel.ptx[kernel.ptx.index("ld.relaxed.gpu") :]
    else:
        assert kernel.counters == 0
        # Blocks arrive at the hardware's own barrier, not at words that each one has:
        # at those, one that is two phases ahead may stand for one that has not come.
        assert "mapa.shared::cluster" not in kernel.ptx
        told, await_all = "cluster.arrive.release", "cluster.wait.acquire"
        fence, waited = "fence.proxy.async.global", kernel.ptx.index(await_all)
        assert kernel.ptx.index(fence) < kernel.ptx.index(told) < waited
        assert fence in kernel.ptx[waited:]
    if jax.__version__ == GOLDEN["jax"]:
        assert figures == GOLDEN["kernels"][f"{case} {dtype} {direction}"]


def test_all_compilers_in_one_process():
    """This machine's, a GPU's and a TPU's, side by side."""
    pytest.importorskip("libtpu", reason="compiles for TPUs as well")
    assert gpu_compile.device().device_kind == H100.name
    assert gpu_compile.device().core_count == H100.processors
    assert tpu_compile.devices("v5e")[0].platform == "tpu"
    assert float(jax.jit(jnp.sum)(jnp.arange(4.0))) == 6.0


@pytest.mark.parametrize("cells", [8, 16, 32])
def test_what_the_search_may_try_compiles_too(cells):
    (case,) = tagged("gpu_float16")
    with gpu_tiles.compiling_for(H100):
        sweep, _ = gpu_tiles.sweeps(case.case("bfloat16"))
    cuts = gpu_tiles.cuts(sweep, H100, (cells,))
    if not cuts:
        assert 4 * case.hidden * cells * 2 > H100.shared - 65536
        return
    kernel = gpu_compile.forward(case, "bfloat16", cut=cuts[0])
    assert kernel.blocks == case.hidden // cells
    assert kernel.spills == 0


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(
    ("case", "dtype"),
    list(zip(tagged("gpu_cell"), ("bfloat16", "float32", "float16"), strict=True)),
    ids=str,
)
def test_the_fused_cell_compiles_and_fits_older_cards(case, dtype, direction):
    kernel = gpu_compile_cell.cell(case, dtype, direction)
    # Ada (compute capability 8.9) has the least shared memory of all supported.
    assert kernel.shared <= 99 * 1024
    assert ("wgmma" in kernel.ptx or "mma.sync" in kernel.ptx) == (dtype != "float32")
    assert kernel.spills in (0, None)
    if kernel.registers is not None:
        assert kernel.registers < 255
