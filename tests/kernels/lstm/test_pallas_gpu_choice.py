"""Which calls the persistent GPU kernels take, and that no launch can deadlock."""

import itertools
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.lstm import gpu_bench, gpu_launch, gpu_sweeps, gpu_tiles, pallas_gpu
from kernels.lstm.backend import Core
from kernels.lstm.cases import Shape
from kernels.lstm.gpu_exchange import Place
from kernels.lstm.gpu_tiles import H100
from kernels.lstm.spec import LstmState, Masks

CASE = Shape("wide", 64, 16, 8, 768).case("bfloat16")._replace(platform="gpu")
# As NVIDIA publishes them; the smallest and the largest Hopper, and one before it.
CARDS = {
    "H100 PCIe": H100._replace(name="NVIDIA H100 PCIe", processors=114),
    "H100 SXM": H100,
    "H200": H100._replace(name="NVIDIA H200"),
    "GH200": H100._replace(name="NVIDIA GH200 480GB"),
    "H20": H100._replace(name="NVIDIA H20", processors=78),
    "MIG": H100._replace(name="NVIDIA H100 80GB HBM3 MIG 1g.10gb", processors=16),
    "A100": H100._replace(
        name="NVIDIA A100", processors=108, capability=(8, 0), shared=163 * 1024
    ),
}


@pytest.mark.parametrize(
    ("card", "change", "said"),
    [
        ("H100 SXM", {}, None),
        ("H100 SXM", {"lengths": True, "resets": True, "peephole": True}, None),
        ("H100 SXM", {"hidden": 1024, "projected": 1024, "batch": 128}, None),
        ("H100 PCIe", {"hidden": 1024, "projected": 1024, "batch": 128}, "the 114 mul"),
        ("H20", {"hidden": 1024, "projected": 1024, "batch": 64}, None),
        ("H200", {"hidden": 1024, "projected": 1024, "batch": 128}, None),
        ("GH200", {"hidden": 1024, "projected": 1024, "batch": 128}, None),
        ("MIG", {"hidden": 256, "projected": 256}, None),  # a cluster
        ("MIG", {}, "the 16 multiprocessors of NVIDIA H100 80GB HBM3 MIG"),
        ("H100 SXM", {"hidden": 2048, "projected": 2048}, "hidden 2048 and batch 16"),
        ("H100 SXM", {"batch": 1024}, r"batch 1024 \(16 tiles of 64 rows\)"),
        ("A100", {}, "for Hopper .* has 8.0"),
        ("H100 SXM", {"dtype": "float32"}, "round float32 to TF32"),
        ("H100 SXM", {"dtype": "float64"}, "and x is float64"),
        ("H100 SXM", {"projection": True, "projected": 64}, "no projection"),
        ("H100 SXM", {"platform": "cpu"}, r"this is a cpu .*interpreted_gpu"),
    ],
)
def test_what_is_taken_and_why_the_rest_is_not(card, change, said):
    with gpu_tiles.compiling_for(CARDS[card]):
        reason = pallas_gpu.persistent(CASE._replace(**change))
    assert (reason is None) if said is None else re.search(said, reason)


def test_two_launches_at_once_would_wait_for_each_others_places(monkeypatch):
    """Then only clusters are safe: each is placed whole."""
    flag = "--xla_gpu_command_buffer_scheduling_mode=CONCURRENT"
    monkeypatch.setenv("XLA_FLAGS", f"--xla_dump_hlo_as_text {flag}")
    with gpu_tiles.compiling_for(H100):
        grid = pallas_gpu.persistent(CASE)
        cluster = pallas_gpu.persistent(CASE._replace(hidden=256, projected=256))
        assert pallas_gpu.supports(CASE) is None  # the fused cell waits for nothing
    assert f"not beside {flag} in XLA_FLAGS" in str(grid)
    assert cluster is None


@pytest.mark.parametrize("card", ["H100 PCIe", "H100 SXM", "H20", "MIG"])
def test_no_launch_waits_for_a_block_that_has_no_place(card):
    """More blocks than multiprocessors: only where a cluster holds all that wait."""
    taken = 0
    flags = itertools.product([False, True], repeat=2)
    sizes = itertools.product((1, 20, 64, 65, 128, 500), range(64, 2100, 64), flags)
    for batch, hidden, (masked, peephole) in sizes:
        case = CASE._replace(
            batch=batch, hidden=hidden, lengths=masked, peephole=peephole
        )
        for sweep in gpu_tiles.sweeps(case):
            for cut in gpu_tiles.cuts(sweep, CARDS[card]):
                taken += 1
                walk = cut.walk
                assert walk.blocks * walk.cells == hidden
                assert cut.tiles * walk.rows >= batch
                assert walk.rows % 8 == 0
                assert cut.shared <= H100.shared
                if walk.barrier == "grid":
                    # Of twelve groups each may be short of a whole cluster.
                    lost = 12 * (walk.parts - 1)
                    assert cut.tiles * walk.blocks <= CARDS[card].processors - lost
                elif walk.barrier == "cluster":
                    assert walk.blocks in (2, 4, 8)
                else:
                    assert walk.blocks == 1
    assert taken > 300


@pytest.mark.parametrize(
    ("card", "blocks"),
    [("H100 SXM", 128), ("H100 PCIe", 112), ("H20", 72), ("MIG", 16)],
)
def test_the_stress_test_fills_every_hopper(card, blocks):
    """Its size was an H100 SXM's alone: on all smaller cards it failed by itself."""
    card = CARDS[card]
    shape = gpu_bench.filling(card)
    with gpu_tiles.compiling_for(card):
        assert pallas_gpu.persistent(shape.case("bfloat16")) is None
        cuts = [
            gpu_tiles.chosen(s, card) for s in gpu_tiles.sweeps(shape.case("bfloat16"))
        ]
    assert [cut and cut.blocks for cut in cuts] == [blocks, blocks]


@pytest.mark.parametrize("hidden", [128, 192], ids=["cluster", "grid"])
@pytest.mark.parametrize("backward", [False, True])
def test_what_blocks_make_of_their_slices_is_the_product(backward, hidden):
    """The interpreter knows one block alone, whose slices lie otherwise."""
    random = np.random.default_rng(0)
    wh = random.integers(-3, 4, (hidden, 4 * hidden)).astype("float32")
    turned = wh.T if backward else wh
    rows = random.integers(-3, 4, (5, len(turned))).astype("float32")
    sweep = gpu_tiles.Sweep(backward, 4, 5, hidden, "bfloat16", False, False, False)
    cuts = gpu_tiles.cuts(sweep, H100, (16,))
    assert {cut.walk.barrier for cut in cuts} == {
        "cluster" if hidden == 128 else "grid"
    }
    shared = backward and hidden == 192
    assert {cut.walk.parts for cut in cuts} == ({1, 4} if shared else {1})
    for cut in cuts:
        slices = np.asarray(gpu_launch.slices(jnp.asarray(turned), cut, len(turned)))
        for block in range(cut.walk.blocks):
            _is_of_the_product(cut.walk, slices, block, rows, rows @ turned, backward)


def _is_of_the_product(walk, slices, block, rows, want, backward):
    """What a block has once those of its cluster have shared their sums."""
    first = block - block % walk.parts
    got = 0
    for part in range(walk.parts):
        at = Place(None, 0, part, None, None).columns(walk)
        seen = rows[:, at.start : at.start + at.size] if backward else rows
        own = slices[first + part]
        pieces = np.split(seen, len(own), axis=1)
        got += sum(piece @ wh.T for piece, wh in zip(pieces, own, strict=True))
    got = np.split(got, walk.parts, axis=1)[block - first]
    place = Place(block, 0, None, None, None)
    gates = [place.gate(walk, n) for n in range(1 if backward else 4)]
    for part, at in zip(np.split(got, len(gates), axis=1), gates, strict=True):
        assert np.array_equal(part, want[:, at.start : at.start + at.size])


@pytest.mark.parametrize(
    ("capability", "card"),
    [
        ("9.0", ("a card", 132, (9, 0), 227 * 1024)),
        ("8.9", ("a card", 132, (8, 9), 99 * 1024)),
        ("gfx942", None),  # AMD's: jax calls them gpu as well
    ],
)
def test_a_card_is_nvidias(capability, card, monkeypatch):
    device = SimpleNamespace(
        device_kind="a card", core_count=132, compute_capability=capability
    )
    device.platform = "gpu"
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert gpu_tiles.present("gpu") == card
    if card is None:
        assert "no card is known" in str(pallas_gpu.supports(CASE))


@pytest.mark.parametrize("masked", [False, True])
def test_masks_may_be_numpy_arrays(masked):
    """Compared with None as tuples they have no truth value."""
    wh, state = jnp.zeros((64, 256), "bfloat16"), jnp.zeros((8, 64))
    lengths = np.full(8, 3) if masked else None
    core = Core(wh, None, None, LstmState(state, state), None, Masks(lengths, None))
    cut = gpu_sweeps._cut(core, False, 3, 64, False, interpret=True)
    assert cut is not None
    assert ("flags" in gpu_launch.masks_and_peephole(core, cut, 3, False, 64)) == masked


def test_flags_tell_of_the_step_itself_and_of_the_next_one_taken():
    masks = Masks(jnp.array([3, 1]), jnp.array([[1, 0], [0, 0], [1, 1]], bool))
    first, last = ([[3, 1], [1 + 4, 4], [1 + 2, 2]], [[3, 1], [1 + 4, 0], [3, 2]])
    forward = gpu_launch.flag_bits(masks, 3, 2, down=False)
    back = gpu_launch.flag_bits(masks, 3, 2, down=True)
    assert forward.tolist() == first
    assert back.tolist() == last
