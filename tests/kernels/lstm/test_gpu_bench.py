"""The parts of the GPU bench that need no GPU: the bound, the rows, who takes part."""

import time

import jax
import numpy as np
import pytest

from kernels import measure
from kernels.lstm import bench, gpu_bench, gpu_tiles
from kernels.lstm.cases import Shape
from kernels.lstm.gpu_tiles import H100


@pytest.mark.parametrize(
    ("hidden", "batch", "dtype", "least"),
    [
        # By hand: wh at 29.65 TB/s, or 8·B·H² FLOP at 989 (float32: 67) TFLOP/s.
        (1024, 16, "bfloat16", 0.2829),
        (1024, 64, "bfloat16", 0.5428),
        (512, 16, "float16", 0.0707),
        (512, 16, "float32", 0.5008),
    ],
)
def test_the_bound_is_the_larger_of_two(hidden, batch, dtype, least):
    shape = Shape("bound", 128, batch, hidden, hidden)
    got = gpu_bench.bound(shape, dtype, "forward", H100.name)
    assert got == pytest.approx(least, rel=2e-3)
    both = gpu_bench.bound(shape, dtype, "forward+backward", H100.name)
    assert both == pytest.approx(2 * got)
    assert gpu_bench.bound(shape, dtype, "forward", "NVIDIA H20") is None


def test_a_row_is_in_microseconds_a_step():
    shape = Shape("row", 1000, 16, 768, 768)
    taken = {
        "pallas_gpu": np.array([4.0, 5.0, 6.0]),
        "xla": np.array([8.0, 20.0, 30.0]),
    }
    row = measure.row("rented-gpu", "row", "pallas_gpu", "forward", taken, ("xla",))
    row = gpu_bench.per_step(row, shape, "bfloat16", 0.5)
    assert (row["median"], row["unit"]) == (5.0, "us/step")
    assert row["share"] == pytest.approx(0.1)
    assert row["ratios"]["xla"]["median"] == 4.0
    assert (row["hidden"], row["batch"], row["time"]) == (768, 16, 1000)


def test_a_row_of_one_that_failed_says_of_which_size(monkeypatch):
    """gpu_measured looks for the sizes of every row."""

    def none(*_):
        return {}, {"pallas_gpu": "out of memory"}

    monkeypatch.setattr(gpu_bench, "working", none)
    shape = Shape("row", 1000, 16, 768, 768, resets=True)
    rows = list(gpu_bench.rows(shape, "bfloat16", H100.name))
    assert [row["what"] for row in rows] == list(gpu_bench.WHAT)
    assert all(row["failed"] == "out of memory" for row in rows)
    assert rows[0]["has"] == ["masks"]
    assert (rows[0]["hidden"], rows[0]["batch"], rows[0]["time"]) == (768, 16, 1000)


def test_a_search_that_nothing_comes_of_says_why(monkeypatch):
    """A compiler of another CUDA, say: the part was done, without a word."""
    monkeypatch.setattr(gpu_bench, "working", lambda _: ({}, {"16": "no ptxas"}))
    shape = Shape("row", 1000, 16, 768, 768)
    with gpu_tiles.compiling_for(H100), pytest.raises(RuntimeError, match="no ptxas"):
        gpu_bench.searched(shape, "bfloat16", H100)


def test_a_time_is_that_of_one_launch_of_many(monkeypatch):
    def make() -> measure.Call:
        return gpu_bench.repeated(lambda: time.sleep(0.002), lambda result: result)

    monkeypatch.setattr(gpu_bench, "contestants", lambda *_: {"xla": make})
    row = next(gpu_bench.rows(Shape("one", 1, 2, 4, 4), "float16", H100.name, runs=3))
    assert 1990 < row["median"] < 1990 * gpu_bench.LAUNCHES
    assert "us a step" in str(gpu_bench.told(row))


def test_bench_lstm_is_this_table_where_there_is_a_gpu(monkeypatch):
    def rows(shape, dtype, device):
        yield {"case": f"{shape} {dtype}", "bench": gpu_bench.NAME, "unit": device}

    monkeypatch.setattr(gpu_bench, "rows", rows)
    with gpu_tiles.compiling_for(H100):
        told = list(bench.rows())
    assert [row["case"] for row in told] == [f"{s} {d}" for s, d in gpu_bench.shapes()]
    assert {row["unit"] for row in told} == {H100.name}


def test_who_takes_part():
    wide = Shape("wide", 8, 16, 768, 768)
    with gpu_tiles.compiling_for(H100):
        narrow = gpu_bench.contestants(wide, "bfloat16", True)
        full = gpu_bench.contestants(wide, "float32", True)
    assert {"pallas_gpu", "xla", "torch"} < set(narrow)
    assert "jax.experimental.rnn" not in narrow
    assert {"xla", "torch", "jax.experimental.rnn"} < set(full)
    assert "pallas_gpu" not in full  # in float32 it is the cell, which has its own row
    with gpu_tiles.compiling_for(H100):
        masked = gpu_bench.contestants(wide._replace(lengths=True), "bfloat16", True)
    assert set(masked) == {"pallas_gpu", "kernels.lstm.pallas_gpu_cell", "xla"}


def test_one_that_fails_does_not_stop_the_rest():
    shape = Shape("here", 3, 2, 4, 4)
    torch = gpu_bench.contestants(shape, "float32", True)["torch"]
    masked = shape._replace(**gpu_bench.MASKED["all"])
    xla = gpu_bench.contestants(masked, "float32", True)["xla"]
    ran, failed = gpu_bench.working({"xla": xla, "torch": torch})
    assert set(ran) == {"xla"}
    assert set(failed) == {"torch"}
    y, last, (dx, d_weights, d_state) = ran["xla"]()
    assert y.shape == dx.shape == (2, 3, 4)
    assert np.abs(d_weights.wh).max() > 0
    assert np.abs(d_weights.peephole).max() > 0
    assert not y[0, 2:].any()  # its row has ended
    assert last.c.shape == d_state.c.shape == (2, 4)


def test_what_is_timed_has_names_of_its_own_and_the_published_size_first():
    timed = [(str(shape), dtype) for shape, dtype in gpu_bench.shapes()]
    assert timed[0] == ("h768_b16_t1024", "bfloat16")
    assert len(set(timed)) == len(timed)
    assert jax.tree.leaves(timed)
