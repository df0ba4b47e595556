"""`bench rented-gpu` where there is no GPU, and what it does with measurements."""

import ast
import json
import re
import sys
import textwrap
import threading

import jax
import pytest

from kernels.lstm import gpu_bench, gpu_measured
from kernels.lstm.gpu_tiles import H100
from research.bench import device_tests, gan_step, rented_gpu
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


def test_without_a_gpu_it_ends_in_one_line(capsys, monkeypatch):
    from launch.__main__ import main

    def fail():  # as jax does where JAX_PLATFORMS=cuda finds no driver that fits
        raise AssertionError

    for sees in ("cpu", "broken CUDA"):
        assert main(["bench", "rented-gpu"]) == 2
        out, told = capsys.readouterr()
        assert out == ""
        assert told.count("\n") == 1
        assert f"needs an NVIDIA GPU, and jax sees a {sees} here" in told
        monkeypatch.setattr(jax, "default_backend", fail)


SIDE_BY_SIDE = rented_gpu.SIDE_BY_SIDE
FAILED = {"tests large": ["one[a b]"]}
HANGS = "table h1024_b256_t128 bfloat16"


@pytest.fixture
def done(monkeypatch):
    """Parts whose results are made up, in this process; what is asked for, in order."""
    asked = []

    def work(part: str) -> dict:
        asked.append(part)
        if part == SIDE_BY_SIDE:
            state = f"failed: {len(asked)}"
            parts = {"tests large": state, "tests others": "done"}
            return {"state": state, "parts": parts, "failed": FAILED}
        if part.startswith("tests"):
            return {"state": "done", "failed": {}}
        if part.startswith("search"):
            key = f"{part} forward"
            return {"searched": {key: {"16": 1.5}}}
        return {"rows": [ROW]}

    def each(work, parts, limit, end):
        for part in parts:
            if part == HANGS:
                yield Ended(part, "killed: made up")
            elif part == "gan step" and "float32" not in str(asked):
                yield Ended(part, "failed: made up")
            else:
                yield Ended(part, "done", work(part))
            if part == "search h1024_b64_t1024 bfloat16" and asked.count(part) == 1:
                return  # the end of the first run

    monkeypatch.setattr(rented_gpu.gpu_tiles, "present", lambda platform: H100)
    monkeypatch.setattr(rented_gpu, "work", work)
    monkeypatch.setattr(rented_gpu.killable, "each", each)
    return asked


def test_what_decides_the_most_is_first():
    """Of two runs of nine minutes the first has all that makes a kernel the default."""
    parts = list(rented_gpu.PARTS)
    size = "h768_b16_t1024 bfloat16"
    assert parts[:3] == ["tests stress", f"search {size}", f"table {size}"]
    assert parts[3] == SIDE_BY_SIDE
    assert {*rented_gpu.TESTS} == {*device_tests.TESTS} - {"stress"}
    tables = {part.partition(" ")[2] for part in parts if part.startswith("table")}
    assert tables == {f"{shape} {dtype}" for shape, dtype in gpu_bench.shapes()}


def test_each_part_is_written_and_another_run_goes_on(tmp_path, done):
    """The numbers are made up; the parts, their order and the file are not."""
    path = rented_gpu.report_path(H100.name, tmp_path)
    assert path.name == "nvidia_h100_80gb_hbm3.json"
    *first, last = (r for r in rented_gpu.rows(folder=tmp_path) if "part" in r)
    parts = json.loads(path.read_text())["parts"]
    told = {r["part"]: r["state"] for r in first}
    large = {"tests large": told[SIDE_BY_SIDE], "tests others": "done"}
    assert told | large == parts
    assert last["part"] == str(path)
    assert last["state"].startswith(f"commit it: {len(told) - 1} of ")
    assert [*told] == list(rented_gpu.PARTS)[: len(told)]
    assert len(parts) < len(rented_gpu.PARTS) / 2
    for told in (r for _ in range(2) for r in rented_gpu.rows(folder=tmp_path)):
        if "part" in told and told["part"] != str(path):
            written = json.loads(path.read_text())["parts"]
            assert written[told["part"]] == told["state"]
    report = gpu_measured.read(tmp_path)[H100.name]
    # Nothing twice: what had failed was begun again, what hung was not.
    often = {part: done.count(part) for part in done if done.count(part) != 1}
    assert often == {SIDE_BY_SIDE: 3}
    assert {*done} == {*rented_gpu.PARTS} - {HANGS}
    ended = dict.fromkeys(rented_gpu.PARTS, "done") | {HANGS: "killed: made up"}
    large = report["parts"]["tests large"]
    assert large.startswith("failed: ")
    tests = {SIDE_BY_SIDE: large, "tests large": large, "tests others": "done"}
    assert report["parts"] == ended | tests
    assert report["failed"] == FAILED
    kinds = ("gan", *rented_gpu.TIMED)
    timed = [p for p in rented_gpu.PARTS if p.startswith(kinds)]
    assert len(report["rows"]) == len(timed) - 1
    key = "search h1024_b16_t128 bfloat16 forward"
    assert report["searched"][key] == {"16": 1.5}
    assert report["versions"]["jax"] == jax.__version__
    assert report["kernel"] == gpu_measured.kernel()


def test_no_source_that_a_gpu_s_call_is_made_of_is_left_out():
    """tpu_tiles lays out what they read."""
    folder = gpu_measured.FOLDER.parent
    timed = (*gpu_measured.KERNEL, "pallas_gpu", "pallas_gpu_cell", "gpu_contestants")
    used = set(timed)
    for name in timed:
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(alias.name for alias in node.names)]
                used |= {one.removeprefix("kernels.lstm.") for one in names}
    assert {"tpu_tiles", "backend", "gpu_tiles"} <= used
    assert not [name for name in used if rented_gpu.NEVER_HERE.match(name)]
    assert rented_gpu.NEVER_HERE.match("pallas_tpu.py")


def test_a_report_of_other_kernels_is_kept_and_not_gone_on_with(
    tmp_path, done, monkeypatch
):
    list(rented_gpu.rows(folder=tmp_path))
    first, before = rented_gpu.report_path(H100.name, tmp_path).read_text(), len(done)
    monkeypatch.setattr(rented_gpu, "sources", lambda: "others")
    list(rented_gpu.rows(folder=tmp_path))
    assert done[before:][:before] == done[:before]
    (kept,) = tmp_path.glob("nvidia_h100_80gb_hbm3.*.before")
    assert kept.read_text() == first
    assert len(gpu_measured.read(tmp_path)) == 1


@pytest.mark.parametrize(
    ("hang", "then"),
    [
        # Where tests hang nothing is timed; where two parts do no kernel is launched.
        (["tests stress"], [SIDE_BY_SIDE]),
        ([SIDE_BY_SIDE, "tests large"], ["tests stress"]),
        (["tests stress", SIDE_BY_SIDE, "tests large"], []),
        (["search h768_b16_t1024 bfloat16", "table h768_b16_t1024 bfloat16"], []),
        (["gan step"], ["tests stress"]),
    ],
)
def test_kernels_that_hang_are_not_launched_for_ever(hang, then):
    """Each would take its whole limit of the rented time."""
    report = {"parts": dict.fromkeys(hang, "killed: made up")}
    parts = list(rented_gpu.left(report))
    assert [part for part in parts if part != "gan step"][: len(then)] == then
    assert ("gan step" in parts) == (hang != ["gan step"])  # it has no kernel of ours
    if hang != ["gan step"]:
        assert all(part.startswith(("tests", "gan")) for part in parts)
    if not then:
        assert parts == ["gan step"]


def test_nothing_is_begun_after_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(rented_gpu.gpu_tiles, "present", lambda platform: H100)
    assert list(rented_gpu.rows(minutes=0, folder=tmp_path)) == []


def test_a_table_of_which_nothing_runs_is_not_done(monkeypatch):
    """With another driver it may: what is done would not be begun again."""
    monkeypatch.setattr(rented_gpu.gpu_tiles, "present", lambda platform: H100)
    part, refused = "table h768_b16_t1024 bfloat16", {"failed": "CUDA is too old"}
    monkeypatch.setattr(gpu_bench, "rows", lambda *_: iter([refused, refused]))
    with pytest.raises(RuntimeError, match="nothing runs: CUDA is too old"):
        rented_gpu.work(part)
    monkeypatch.setattr(gpu_bench, "rows", lambda *_: iter([ROW, refused]))
    assert rented_gpu.work(part) == {"rows": [ROW, refused]}


def test_kinds_of_tests_run_side_by_side(monkeypatch):
    """Each waits until all have begun."""
    all_there = threading.Barrier(len(rented_gpu.TESTS), timeout=10)
    states = {"large": "failed: 1 failed", "others": "killed: nothing went on"}

    def run(which, limit):
        all_there.wait()
        failed = ["one"] if which in states else []
        return device_tests.Outcome(states.get(which, "done"), failed)

    monkeypatch.setattr(device_tests, "run", run)
    got = rented_gpu.work(SIDE_BY_SIDE)
    assert got["state"] == "killed: nothing went on"  # none of it is begun again
    assert got["parts"].keys() == {f"tests {name}" for name in rented_gpu.TESTS}
    assert got["parts"]["tests large"] == "failed: 1 failed"
    assert got["parts"]["tests float16"] == "done"
    assert got["failed"]["tests large"] == ["one"]


def test_skipped_is_not_passed():
    state, failed = device_tests.run("stress", 300)
    assert re.match("failed: 2 skipped, .*deselected", state)
    assert failed == []


@pytest.fixture
def prints(monkeypatch, tmp_path):
    """Instead of pytest, a process that prints something, and then may go on."""

    def instead(printed: str, then: str) -> None:
        script = tmp_path / "pytest"
        script.write_text(f"#!/bin/sh\nprintf '{printed}'\n{then}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    return instead


SLOW = "here.py::one PASSED [ 1%%]\nhere.py::two[a b] "


def test_what_hangs_is_told_from_what_is_slow(prints):
    prints(SLOW, "exec sleep 60")
    hung = device_tests.run("stress", limit=20, quiet=1)
    assert hung.state == "killed: nothing went on for 1 s in two[a b]"
    prints(SLOW, "while sleep 0.1; do printf .; done")
    slow = device_tests.run("stress", limit=2, quiet=1)
    assert slow.state.startswith("failed: no end after 2 s, and it was in two[a b]")


def test_the_tests_that_fail_are_named(prints):
    printed = """
        here.py::one PASSED [ 20%%]
        here.py::two[a b] FAILED [ 40%%]
        here.py::three ERROR [ 60%%]
        ==== 1 failed, 1 passed, 1 error in 3.00s ====
    """
    prints(textwrap.dedent(printed), "exit 1")
    got = device_tests.run("large", 5)
    assert got.state == "failed: 1 failed, 1 passed, 1 error in 3.00s"
    assert got.failed == ["three", "two[a b]"]


def test_the_gan_is_timed_without_a_data_set(tmp_path, monkeypatch):
    """A rented machine has none, and maybe no way to one."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    job = gan_step.job("shared")
    assert job.train.arrays["image"].shape == (4000, 28, 28, 1)
    assert list(tmp_path.iterdir()) == []


def test_rows_for_a_person():
    assert "10.00 us a step   5.0% of the bound  3.00× xla" in str(rented_gpu.told(ROW))
    failed = ROW | {"failed": "RuntimeError: this torch is for CPUs"}
    assert str(rented_gpu.told(failed)).endswith("this torch is for CPUs")
    assert rented_gpu.told(ROW | {"unit": "ms"}) is None


def test_the_user_error_names_the_way_out():
    with pytest.raises(UserError, match="LAUNCH_ACCELERATOR=cuda"):
        next(rented_gpu.rows())
