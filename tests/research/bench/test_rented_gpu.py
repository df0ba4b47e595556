"""`bench rented-gpu` where there is no GPU, and what it does with measurements."""

import json
import subprocess
import sys

import jax
import pytest

from kernels.lstm import gpu_bench, gpu_measured
from kernels.lstm.gpu_tiles import H100
from research.bench import rented_gpu
from research.errors import UserError

pytestmark = pytest.mark.skipif(
    jax.default_backend() == "gpu", reason="there is a GPU here: it would be measured"
)
ROW = {
    "bench": "rented-gpu",
    "case": "h768_b16_t1024",
    "backend": "pallas_gpu",
    "what": "forward+backward",
    "dtype": "bfloat16",
    "unit": "us/step",
    "median": 10.0,
    "share": 0.05,
    "ratios": {"xla": {"median": 3.0, "q25": 2.9, "q75": 3.1}},
}


def test_without_a_gpu_it_ends_in_one_line(capsys):
    from launch.__main__ import main

    assert main(["bench", "rented-gpu"]) == 2
    out, told = capsys.readouterr()
    assert out == ""
    assert told.count("\n") == 1
    assert "needs an NVIDIA GPU, and jax sees a cpu here" in told


def test_each_part_is_written_as_soon_as_it_is_done(tmp_path, monkeypatch):
    """The numbers are made up; the parts, their order and the file are not."""
    done = []

    def outcome(which: str) -> dict:
        done.append(which)
        return {"passed": which == "stress", "said": "made up"}

    def fastest(shape, dtype, card) -> dict[str, int]:
        done.append(f"{shape} {dtype}")
        return {f"{shape.hidden} 1 {dtype} forward": 16}

    monkeypatch.setattr(rented_gpu.gpu_tiles, "present", lambda platform: H100)
    monkeypatch.setattr(rented_gpu, "outcome", outcome)
    monkeypatch.setattr(gpu_bench, "fastest", fastest)
    monkeypatch.setattr(gpu_bench, "rows", lambda *_: iter([ROW]))
    monkeypatch.setattr("research.bench.gan_step.rows", lambda: iter([]))
    path = rented_gpu.report_path(H100.name, tmp_path)
    assert path.name == "nvidia_h100_80gb_hbm3.json"
    rows = []
    for row in rented_gpu.rows(folder=tmp_path):
        rows.append(row)
        assert json.loads(path.read_text())["stress"]["passed"]
    report = gpu_measured.read(tmp_path)[H100.name]
    assert done[:3] == ["stress", "not stress", "h768_b16_t1024 bfloat16"]
    assert report["rows"] == rows
    assert len(rows) == len(list(gpu_bench.shapes()))
    assert report["cells"]["1024 1 bfloat16 forward"] == 16
    assert report["versions"]["jax"] == jax.__version__
    assert not report["tests"]["passed"]


def test_no_part_is_begun_after_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(rented_gpu.gpu_tiles, "present", lambda platform: H100)
    monkeypatch.setattr(rented_gpu, "outcome", lambda which: {"passed": True})
    assert list(rented_gpu.rows(minutes=0, folder=tmp_path)) == []
    report = gpu_measured.read(tmp_path)[H100.name]
    assert (report["rows"], report["cells"]) == ([], {})


def test_tests_that_hang_or_are_skipped_have_not_passed(monkeypatch):
    skipped = rented_gpu.outcome("stress_many")
    assert not skipped["passed"]
    assert "skipped" in skipped["said"]

    def hang(command, timeout, **_):
        return run([sys.executable, "-c", "while True: pass"], timeout=0.2, check=False)

    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", hang)
    killed = rented_gpu.outcome("stress")
    assert not killed["passed"]
    assert "killed" in killed["said"]


def test_rows_for_a_person():
    assert "10.00 us a step   5.0% of the bound  3.00× xla" in str(rented_gpu.told(ROW))
    failed = ROW | {"failed": "RuntimeError: this torch is for CPUs"}
    assert str(rented_gpu.told(failed)).endswith("this torch is for CPUs")
    assert rented_gpu.told(ROW | {"unit": "ms"}) is None


def test_the_user_error_names_the_way_out():
    with pytest.raises(UserError, match="LAUNCH_ACCELERATOR=cuda"):
        next(rented_gpu.rows())
