"""The TPU kernels through the compiler of real TPUs, and what it says they take."""

import importlib.util
import re
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from kernels import LstmState, LstmWeights, lstm, lstm_cell
from kernels.lstm import pallas_cell, pallas_tpu, tpu_compile, tpu_tiles
from kernels.lstm.cases import Shape, tagged
from kernels.lstm.tpu_tiles import GENERATIONS

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="the compiler is not installed: pip install -e '.[preflight]'",
)

TPU = "pallas_tpu"
LARGEST = {"tpu_64_mib": ("v5p", "v7x"), "tpu_128_mib": ("v5e",)}
WAYS = [
    pytest.param(generation, case, dtype, id=f"{generation}-{case}-{dtype}")
    for generation in GENERATIONS
    for case in tagged("tpu")
    for dtype in ("bfloat16", "float32")
    if dtype == "bfloat16" or case.name == "tpu_all"
] + [
    pytest.param(
        generation, case, "bfloat16", id=f"{generation}-{case}", marks=pytest.mark.slow
    )
    for tag, generations in LARGEST.items()
    for case in tagged(tag)
    for generation in generations
]


@pytest.mark.parametrize(("generation", "case", "dtype"), WAYS)
def test_both_kernels_compile_and_take_what_was_foreseen(
    generation, case, dtype, monkeypatch
):
    foreseen, flat = [], GENERATIONS[generation].flat
    right = tpu_tiles.chosen

    def spy(sweep, name, *steps):
        tile = right(sweep, name, *steps)
        assert tile is not None
        foreseen.append(tpu_tiles.need(sweep, tile.batch, tile.time, name))
        return tile

    monkeypatch.setattr(tpu_tiles, "chosen", spy)
    for kernel in (tpu_compile.forward, tpu_compile.backward):
        compiled = kernel(case, dtype, generation)
        assert compiled.used <= compiled.limit <= GENERATIONS[generation].vmem
        need = foreseen.pop()
        assert not foreseen
        assert compiled.used <= need
        # Where XLA had room for arrays in VMEM beforehand, the kernel takes fewer.
        assert compiled.shortened or need <= 1.12 * compiled.used + flat


CELLS = (
    Shape("cell_4096", 2, 64, 1, 4096),
    Shape("cell_all", 3, 12, 1, 300, 130, True, True, True, True, True),
)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("case", CELLS, ids=str)
def test_the_cell_compiles_and_streams_what_does_not_fit(case, dtype, generation):
    large = case.hidden == 4096
    backend = pallas_tpu.BACKEND if large else pallas_cell.BACKEND
    sizes = [tpu_tiles.padded(n) for n in (case.hidden, case.projected or case.hidden)]
    for backward, kernel in enumerate((tpu_compile.forward, tpu_compile.backward)):
        compiled = kernel(case, dtype, generation, backend=backend)
        assert f"lstm_cell_{kernel.__name__}" in compiled.text
        assert compiled.limit <= GENERATIONS[generation].vmem
        itemsize = jnp.dtype(dtype).itemsize
        with tpu_tiles.compiling_for(generation):
            tile = pallas_cell.chosen(bool(backward), case.batch, *sizes, itemsize)
        need = pallas_cell.need(bool(backward), *tile[:3], sizes[1], itemsize)
        if not compiled.shortened:
            assert compiled.used <= need <= 1.12 * compiled.used + 2**20


def test_one_step_is_one_kernel():
    place = jax.sharding.SingleDeviceSharding(tpu_compile.devices("v5e")[0])
    weights = LstmWeights(
        *(array(*s, on=place) for s in ((8, 512), (128, 512), (512,)))
    )
    state = LstmState(
        array(4, 128, on=place),
        jax.ShapeDtypeStruct((4, 128), jnp.float32, sharding=place),
    )
    one = tpu_compile.compiled(lstm_cell, "v5e", array(4, 8, on=place), state, weights)
    assert one.text.count('custom_call_target="tpu_custom_call"') == 1
    assert "lstm_cell_forward" in one.text


def array(*shape: int, on: Any = None) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=on)


@pytest.mark.parametrize("topology", ["v5e:2x4"])
def test_a_pmapped_train_step_for_eight_chips(topology):
    """Both kernels are in it, and one sum of the gradients over the chips."""
    devices = tpu_compile.devices("v5e", topology)
    assert len(devices) == 8
    weights = LstmWeights(array(64, 512), array(128, 512), array(512))
    x = array(8, 16, 6, 64)

    def step(weights, x):
        def loss(weights):
            y, _ = lstm(x, weights, backend=TPU)
            return jnp.mean(y.astype(jnp.float32) ** 2)

        value, gradient = jax.value_and_grad(loss)(weights)
        gradient = lax.pmean(gradient, "batch")
        return jax.tree.map(jnp.subtract, weights, gradient), lax.pmean(value, "batch")

    run = jax.pmap(step, "batch", in_axes=(None, 0), out_axes=None, devices=devices)
    with tpu_tiles.compiling_for("v5e"), tpu_compile.uncached():
        text = str(run.lower(weights, x).compile().as_text())
    assert text.count('custom_call_target="tpu_custom_call"') == 2
    assert re.search(r"= .*\ball-reduce", text)


def test_more_than_one_model_at_once_is_one_kernel():
    """vmap over weights makes the grid longer; wh is not held twice for it."""
    place = jax.sharding.SingleDeviceSharding(tpu_compile.devices("v5e")[0])
    sizes = ((3, 8, 2048), (3, 512, 2048), (3, 2048))
    weights = LstmWeights(*(array(*size, on=place) for size in sizes))

    def run(weights, x):
        return jax.vmap(lambda w: lstm(x, w, backend=TPU)[0])(weights)

    many = tpu_compile.compiled(run, "v5e", weights, array(8, 4, 8, on=place))
    assert many.text.count('custom_call_target="tpu_custom_call"') == 1
    assert many.used < 2 * 512 * 2048 * 2
