"""What the committed measurements, here made up, make the default on a GPU."""

import json

import jax
import jax.numpy as jnp
import pytest

from kernels import LstmWeights, explain, target
from kernels.lstm import choices, gpu_measured, gpu_tiles, lstm, pallas_gpu
from kernels.lstm.cases import Shape
from kernels.lstm.gpu_tiles import H100

SHAPE = Shape("measured", 1024, 16, 768, 768)
CASE = SHAPE.case("bfloat16")._replace(platform="gpu")


def report(ratio: float = 2.0, stress: bool = True, **row) -> dict:
    """A file as `bench rented-gpu` writes it, of one row. The numbers are made up."""
    measured = {
        "bench": "rented-gpu",
        "backend": "pallas_gpu",
        "what": "forward+backward",
        "hidden": 768,
        "batch": 16,
        "time": 512,
        "dtype": "bfloat16",
        "ratios": {"xla": {"median": ratio, "q25": ratio, "q75": ratio}},
    }
    if "failed" in row:
        del measured["ratios"]
    return {
        "device": H100.name,
        "stress": {"passed": stress},
        "tests": {"passed": True},
        "parts": {"gan step": "failed: no torch", "stress": "done"},
        "cells": {"768 1 bfloat16 forward": 8, "768 1 bfloat16 backward": 32},
        "rows": [measured | row],
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_measured, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (report(), None),
        (report(hidden=740), None),  # the same when padded
        (report(batch=64), None),  # still one tile of the batch
        (report(ratio=1.4), "1.40 times as fast as xla, and is taken from 1.5 on"),
        (report(stress=False), "failed the stress test"),
        (report(what="forward"), "no measurement of this case"),
        (report(backend="xla"), "no measurement of this case"),
        (report(hidden=512), "no measurement of this case"),
        (report(batch=65), "no measurement of this case"),
        (report(dtype="float16"), "no measurement of this case"),
        (report(time=1025), "no measurement of this case"),
        (report(failed="out of memory"), "failed on NVIDIA H100 80GB HBM3: out of"),
        (report(hidden=512, failed="out of memory"), "no measurement of this case"),
        (
            report() | {"parts": {"search h512_b64_t128 float16": "killed: after 9 s"}},
            "search h512_b64_t128 float16 had no end and was killed: after 9 s",
        ),
        (report() | {"device": "NVIDIA H20"}, "no measurement of this case"),
    ],
)
def test_only_what_was_measured_is_the_default(measured, said, folder):
    (folder / "card.json").write_text(json.dumps(measured))
    with gpu_tiles.compiling_for(H100):
        assert pallas_gpu.supports(CASE) is None
        reason = pallas_gpu.hesitates(CASE)
    assert (reason is None) if said is None else said in reason


@pytest.mark.parametrize("change", [{"projection": True}, {"batch": 64 * 16}])
def test_the_fused_cell_is_not_the_default_by_what_the_other_kernel_showed(
    change, folder
):
    case = CASE._replace(**change)
    (folder / "card.json").write_text(json.dumps(report(batch=case.batch)))
    with gpu_tiles.compiling_for(H100):
        assert pallas_gpu.supports(case) is None
        assert "by its fused cell alone" in str(pallas_gpu.hesitates(case))


def test_the_op_takes_it_and_explain_says_so(folder):
    def choose() -> tuple[str, dict[str, str]]:
        weights, x = arrays()

        def run(weights, x):  # a new function: jax remembers traces
            return lstm(x, weights)

        with gpu_tiles.compiling_for(H100), choices.watched() as seen:
            jax.eval_shape(run, weights, x)
            return seen[0].backend, explain(x, weights)

    taken, told = choose()
    assert taken == "xla"
    assert told["xla"] == "taken"
    assert told["pallas_gpu"] == gpu_measured.UNMEASURED
    assert told["pallas_gpu"].startswith("no measurement of this case is committed yet")
    (folder / "card.json").write_text(json.dumps(report()))
    taken, told = choose()
    assert taken == told_taken(told) == "pallas_gpu"


def test_named_it_is_taken_without_any_measurement(folder):
    weights, x = arrays()

    def run(weights, x):
        return lstm(x, weights, backend="pallas_gpu")

    with gpu_tiles.compiling_for(H100):
        text = str(jax.make_jaxpr(run)(weights, x))
    assert "lstm_gpu_forward" in text


def test_a_gpu_that_nobody_names_is_left_to_xla():
    """`preflight` traces for a platform, and knows no card."""
    weights, x = arrays()
    with target.tracing_for("gpu"):
        told = explain(x, weights)
    assert told_taken(told) == "xla"
    assert "no card is known" in told["pallas_gpu"]


def test_the_fastest_cut_that_was_measured_is_tried_first(folder):
    with gpu_tiles.compiling_for(H100):
        forward, backward = gpu_tiles.sweeps(CASE)
    assert gpu_measured.cells_first(forward, H100) == gpu_tiles.CELLS
    (folder / "card.json").write_text(json.dumps(report()))
    assert gpu_measured.cells_first(forward, H100) == (8, 16, 32)
    assert gpu_measured.cells_first(backward, H100) == (32, 16, 8)
    assert gpu_measured.cells_first(backward._replace(batch=65), H100) == (16, 8, 32)


def test_what_is_committed_can_be_read():
    for device, committed in gpu_measured.read(gpu_measured.FOLDER).items():
        assert committed["device"] == device
        assert {"measured", "versions", "stress", "tests", "parts", "rows"} <= set(
            committed
        )


def arrays():
    def of(*shape: int):
        return jax.ShapeDtypeStruct(shape, jnp.bfloat16)

    weights = LstmWeights(of(8, 3072), of(768, 3072), of(3072))
    return weights, of(16, 1024, 8)


def told_taken(told: dict[str, str]) -> str:
    return next(name for name, word in told.items() if word == "taken")
