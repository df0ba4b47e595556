"""`bench rented-gpu` where there is no GPU, and what it does with measurements."""

import json
import subprocess
import sys
import textwrap

import jax
import pytest

from kernels.lstm import gpu_bench, gpu_measured
from kernels.lstm.gpu_tiles import H100
from research.bench import rented_gpu
from research.bench.killable import Ended
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


HANGS = "table h1024_b256_t128 bfloat16"


@pytest.fixture
def done(monkeypatch):
    """Parts whose results are made up, in this process; what is asked for, in order."""
    asked = []

    def work(part: str) -> dict:
        asked.append(part)
        if part in ("stress", "tests"):
            return {part: {"passed": part == "stress", "said": "made up"}}
        if part.startswith("search"):
            return {"cells": {f"{part} forward": 16}}
        return {"rows": [ROW]}

    def each(work, parts, limit, end):
        for part in parts:
            if part == HANGS:
                yield Ended(part, "killed: made up")
            elif part == "gan step" and "table" not in str(asked):
                yield Ended(part, "failed: made up")
            else:
                yield Ended(part, "done", work(part))
            if part == "search h1024_b64_t1024 bfloat16":
                return  # the end of the first run

    monkeypatch.setattr(rented_gpu.gpu_tiles, "present", lambda platform: H100)
    monkeypatch.setattr(rented_gpu, "work", work)
    monkeypatch.setattr(rented_gpu.killable, "each", each)
    return asked


def test_each_part_is_written_and_another_run_goes_on(tmp_path, done):
    """The numbers are made up; the parts, their order and the file are not."""
    path = rented_gpu.report_path(H100.name, tmp_path)
    assert path.name == "nvidia_h100_80gb_hbm3.json"
    for told in rented_gpu.rows(folder=tmp_path):
        assert json.loads(path.read_text())["parts"][told["part"]] == "done"
        said = " made up" if told["part"] in ("stress", "tests") else ""
        assert str(rented_gpu.told(told)).endswith(f" done{said}")
    assert done[:3] == ["stress", "tests", "search h768_b16_t1024 bfloat16"]
    assert len(done) < len(rented_gpu.PARTS) / 2
    states = [
        r.get("state") for _ in range(2) for r in rented_gpu.rows(folder=tmp_path)
    ]
    report = gpu_measured.read(tmp_path)[H100.name]
    # Nothing twice: what had failed was begun again, what hung was not.
    assert done[-1] == "gan step"
    assert len(done) == len({*done})
    assert {*done} == {*rented_gpu.PARTS} - {HANGS}
    assert states.count("killed: made up") == states.count("failed: made up") == 1
    assert report["parts"] == dict.fromkeys(rented_gpu.PARTS, "done") | {
        HANGS: "killed: made up"
    }
    sizes = list(gpu_bench.shapes())
    assert len(report["rows"]) == len(sizes)  # all but one, and the GAN's
    assert report["cells"]["search h1024_b16_t128 bfloat16 forward"] == 16
    assert report["versions"]["jax"] == jax.__version__
    assert report["stress"]["passed"]
    assert not report["tests"]["passed"]


def test_a_report_of_other_kernels_is_not_gone_on_with(tmp_path, done, monkeypatch):
    list(rented_gpu.rows(folder=tmp_path))
    before = len(done)
    monkeypatch.setattr(rented_gpu, "sources", lambda: "others")
    list(rented_gpu.rows(folder=tmp_path))
    assert done[before:] == done[:before]


def test_kernels_that_hang_under_stress_are_not_launched_again(
    tmp_path, done, monkeypatch
):
    """Each would take its whole limit of the rented time."""
    hung = {"passed": False, "said": "no end", "hung": True}
    monkeypatch.setattr(
        rented_gpu, "work", lambda part: done.append(part) or {part: hung}
    )
    list(rented_gpu.rows(folder=tmp_path))
    assert done == ["stress", "tests"]
    report = gpu_measured.read(tmp_path)[H100.name]
    assert report["parts"]["gan step"] == "failed: made up"  # of other kernels


def test_nothing_is_begun_after_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(rented_gpu.gpu_tiles, "present", lambda platform: H100)
    assert list(rented_gpu.rows(minutes=0, folder=tmp_path)) == []


def test_tests_that_hang_or_are_skipped_have_not_passed(monkeypatch):
    skipped = rented_gpu.outcome("stress_many", 300)
    assert not skipped["passed"]
    assert "skipped" in skipped["said"]

    def hang(command, timeout, **_):
        said = "here.py::one PASSED [ 1%]\nhere.py::two[a b] "
        code = f"print({said!r}, end='', flush=True)\nwhile True: pass"
        loop = [sys.executable, "-Sc", code]
        return run(loop, timeout=1.0, capture_output=True)

    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", hang)
    killed = rented_gpu.outcome("stress", 5)
    assert not killed["passed"]
    assert killed["hung"]
    assert killed["said"] == "no end after 5 s, it was killed in two[a b]"


def test_the_tests_that_fail_are_named(monkeypatch):
    printed = """
        here.py::one PASSED [ 20%]
        here.py::two[a b] FAILED [ 40%]
        here.py::three ERROR [ 60%]
        ==== 1 failed, 1 passed, 1 error in 3.00s ====
    """
    ended = subprocess.CompletedProcess([], 1, textwrap.dedent(printed), "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    got = rented_gpu.outcome("not stress", 5)
    assert got == {
        "passed": False,
        "said": "1 failed, 1 passed, 1 error in 3.00s",
        "failed": ["three", "two[a b]"],
    }


def test_rows_for_a_person():
    assert "10.00 us a step   5.0% of the bound  3.00× xla" in str(rented_gpu.told(ROW))
    failed = ROW | {"failed": "RuntimeError: this torch is for CPUs"}
    assert str(rented_gpu.told(failed)).endswith("this torch is for CPUs")
    assert rented_gpu.told(ROW | {"unit": "ms"}) is None


def test_the_user_error_names_the_way_out():
    with pytest.raises(UserError, match="LAUNCH_ACCELERATOR=cuda"):
        next(rented_gpu.rows())
