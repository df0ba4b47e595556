"""Which calls the TPU kernels take, and how they cut them, without any compiler."""

import re

import jax
import jax.numpy as jnp
import pytest

from kernels import LstmWeights, UnsupportedCase, explain, lstm
from kernels.lstm import pallas_cell, pallas_tpu, tpu_cell_tiles, tpu_memory, tpu_tiles
from kernels.lstm.spec import Case
from kernels.lstm.tpu_memory import Sweep
from kernels.lstm.tpu_tiles import GENERATIONS

CASE = Case(
    batch=64,
    time=100,
    features=8,
    hidden=512,
    projected=512,
    dtype="bfloat16",
    peephole=False,
    projection=False,
    lengths=False,
    resets=False,
    h_mask=False,
    reverse=False,
    platform="cpu",
)
SWEEP = Sweep(False, 100, 64, 512, 512, 2, "gates", *(5 * [False]))


def test_away_from_tpus_it_says_what_can():
    reason = pallas_tpu.supports(CASE)
    assert reason is not None
    assert "this is a cpu" in reason
    assert "kernels.lstm.interpreted" in reason
    weights = LstmWeights(jnp.ones((2, 8)), jnp.ones((2, 8)), jnp.ones(8))
    with pytest.raises(UnsupportedCase, match=r"this is a cpu.*xla, reference can"):
        lstm(jnp.ones((1, 3, 2)), weights, backend="pallas_tpu")


def test_on_a_tpu_it_is_taken():
    def told(hidden):
        shapes = ((2, 4 * hidden), (hidden, 4 * hidden), (4 * hidden,))
        weights = LstmWeights(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
        x = jax.ShapeDtypeStruct((1, 3, 2), jnp.float32)
        return explain(x, weights)["pallas_tpu"]

    assert told(2).startswith("it is for TPUs")
    with tpu_tiles.compiling_for("v4"):
        assert told(2) == "taken"
        how = "taken, wh streamed from HBM at each step: wh [2048, 8192] and its blocks"
        assert told(2048).startswith(how)


@pytest.mark.parametrize(
    ("generation", "rows", "hidden", "taken"),
    [
        ("v4", 64, 512, 11_202_560),
        ("v4", 80, 512, 12_357_632),
        ("v4", 40, 768, 16_289_792),
        ("v5e", 32, 640, 11_280_384),
        ("v5p", 32, 640, 11_284_480),
        ("v5e", 32, 1024, 24_203_264),
        ("v6e", 64, 512, 9_912_320),
        ("v6e", 192, 512, 19_517_440),
        ("v6e", 160, 640, 21_037_056),
    ],
)
def test_what_waits_in_vmem_where_no_gates_are_kept(generation, rows, hidden, taken):
    """`taken`: by the compiler's own word, float32, two steps at a time."""
    sweep = SWEEP._replace(itemsize=4, keep=None, hidden=hidden, projected=hidden)
    need = tpu_memory.need(sweep, rows, 2, generation)
    assert taken <= need <= 1.12 * taken + 2**17


@pytest.mark.parametrize(
    ("generation", "change", "said"),
    [
        ("v5e", {}, None),
        ("v4", {"hidden": 1024, "projected": 1024, "batch": 8}, None),
        ("v4", {"hidden": 2048, "projected": 2048, "batch": 8}, r"v4 has 16"),
        ("v5p", {"hidden": 2048, "projected": 2048, "batch": 8}, None),
        ("v7x", {"hidden": 2048, "projected": 2048, "batch": 8}, None),
        ("v5e", {"hidden": 2560, "projected": 2560, "batch": 8}, None),
        ("v7x", {"hidden": 3072, "projected": 3072, "batch": 8}, r"v7x has 64"),
        ("v6e", {"hidden": 2560, "projected": 2560, "batch": 8}, None),
        ("v6e", {"hidden": 4096, "projected": 4096}, r"wh \[4096, 16384\].*has 128"),
    ],
)
def test_what_fits_stays_in_vmem_and_nothing_is_refused(generation, change, said):
    case = CASE._replace(**change)
    with tpu_tiles.compiling_for(generation):
        assert pallas_tpu.supports(case) is None
        reason = pallas_tpu.streamed(case)
    if said is None:
        assert reason is None
    else:
        assert reason is not None
        assert re.search(said, reason)


def test_float16_is_left_to_xla():
    case = CASE._replace(dtype="float16")
    with tpu_tiles.compiling_for("v5e"):
        for module in (pallas_tpu, pallas_cell):
            reason = module.supports(case)
            assert reason == "it takes float32 and bfloat16, and x is float16"


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    "size", [(1, 128), (64, 4096), (300, 8192), (7, 40960)], ids=str
)
def test_the_cell_finds_a_tile_for_any_size(generation, dtype, size):
    batch, hidden = size
    itemsize = jnp.dtype(dtype).itemsize
    for backward in (False, True):
        with tpu_tiles.compiling_for(generation):
            tile = tpu_cell_tiles.chosen(backward, batch, hidden, hidden, itemsize)
        need = tpu_cell_tiles.need(backward, *tile[:3], hidden, itemsize)
        assert need < tile.vmem <= GENERATIONS[generation].vmem
        assert hidden % tile.width == hidden % tile.depth == 0


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("batch", [1, 3, 8, 64, 255, 257, 300, 1000])
def test_a_tile_is_whole_registers_and_fits(generation, batch):
    sweep = SWEEP._replace(batch=batch)
    tile = tpu_tiles.chosen(sweep, generation)
    assert tile is not None
    assert tile.batch == batch or tile.batch % 16 == 0
    assert tile.batch <= 256
    need = tpu_memory.need(sweep, tile.batch, tile.time, generation)
    assert need < tile.vmem <= GENERATIONS[generation].vmem


def test_small_memory_cuts_steps_before_rows():
    many = SWEEP._replace(batch=256)
    large, small = tpu_tiles.chosen(many, "v5e"), tpu_tiles.chosen(many, "v4")
    assert large is not None
    assert small is not None
    assert (large.batch, large.time) == (256, 8)
    assert small.batch == 256
    assert small.time < 8


@pytest.mark.parametrize(
    ("generation", "change", "steps"),
    [
        ("v6e", {}, 20),
        ("v6e", {"time": 64}, 16),
        ("v6e", {"time": 19}, 16),
        ("v6e", {"keep": "gates"}, 8),
        ("v6e", {"itemsize": 4}, 2),
        ("v6e", {"batch": 64}, 8),
        ("v6e", {"time": 15}, 8),
        ("v5e", {}, 8),
    ],
)
def test_many_steps_only_where_they_gain(generation, change, steps):
    sweep = SWEEP._replace(**{"keep": None, "batch": 256} | change)
    tile = tpu_tiles.chosen(sweep, generation)
    assert tile is not None
    assert tile.time == steps


@pytest.mark.parametrize("time", [100, 140, 160, 300, 1000])
def test_no_block_of_resets_straddles_two_registers(time):
    """20 steps, the best of these lengths, did: the second's were read of the first."""
    sweep = SWEEP._replace(keep=None, batch=256, time=time)
    plain, flagged = (
        tpu_tiles.chosen(s, "v6e") for s in (sweep, sweep._replace(resets=True))
    )
    assert plain is not None
    assert flagged is not None
    assert (plain.time, flagged.time) == (20, 16)


def test_an_unknown_generation_is_named():
    with (
        pytest.raises(ValueError, match=r"'v3' is not one of v4, v5e"),
        tpu_tiles.compiling_for("v3"),
    ):
        pass
