"""What the committed measurements, here made up, make the default on a GPU."""

import functools
import json
import re
import time

import jax
import jax.numpy as jnp
import pytest

from kernels import LstmWeights, explain, target
from kernels.lstm import choices, gpu_bench, gpu_measured, gpu_tiles, lstm, pallas_gpu
from kernels.lstm.cases import Shape
from kernels.lstm.gpu_tiles import H100

SHAPE = Shape("measured", 1024, 16, 768, 768)
CASE = SHAPE.case("bfloat16")._replace(platform="gpu")
PASSED = dict.fromkeys(("tests large", "tests others", "tests bfloat16"), "done")
MASKED = CASE._replace(lengths=True)


def report(ratio: float = 2.0, stress: str = "done", **row) -> dict:
    """A file as `bench rented-gpu` writes it, of one row. The numbers are made up."""
    measured = {
        "bench": "rented-gpu",
        "backend": "pallas_gpu",
        "what": "forward+backward",
        "hidden": 768,
        "batch": 16,
        "time": 512,
        "dtype": "bfloat16",
        "has": [],
        "ratios": {"xla": {"median": ratio, "q25": ratio, "q75": ratio}},
    }
    if "failed" in row:
        del measured["ratios"]
    return {
        "device": H100.name,
        "kernel": gpu_measured.kernel(),
        "parts": {"gan step": "killed: no network", "tests stress": stress} | PASSED,
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
        (report(stress="failed: 1 of 2"), "tests (stress) have not passed: failed: 1"),
        (report() | {"parts": PASSED}, "tests (stress) have not passed: not run"),
        (report() | {"kernel": "another"}, "source has changed since it was measured"),
        (report(what="forward"), "no measurement of this case"),
        (report(backend="xla"), "no measurement of this case"),
        (report(hidden=512), "no measurement of this case"),
        (report(batch=65), "no measurement of this case"),
        (report(dtype="float16"), "no measurement of this case"),
        (report(time=1025), "no measurement of this case"),
        (report(failed="out of memory"), "failed on NVIDIA H100 80GB HBM3: out of"),
        (report(hidden=512, failed="out of memory"), "no measurement of this case"),
        (
            report()
            | {
                "parts": {"tests stress": "done"}
                | PASSED
                | {"search h512_b64_t128 float16": "killed: after 9 s"}
            },
            "search h512_b64_t128 float16 had no end and was killed: after 9 s",
        ),
        (report() | {"device": "NVIDIA H20"}, "no measurement of this case"),
    ],
)
def test_only_what_was_measured_is_the_default(measured, said, folder):
    check(CASE, measured, said, folder)


def check(case, measured: dict, said: str | None, folder) -> None:
    """With that file, the case is the persistent kernel's, or a reason says `said`."""
    (folder / "card.json").write_text(json.dumps(measured))
    with gpu_tiles.compiling_for(H100):
        assert pallas_gpu.supports(case) is None
        reason = pallas_gpu.hesitates(case)
    assert (reason is None) if said is None else said in str(reason)


@pytest.mark.parametrize(
    ("case", "measured", "said"),
    [
        (MASKED, report(), "this size was not measured with masks"),
        (MASKED, report(has=["masks"]), None),
        (MASKED._replace(lengths=False, resets=True), report(has=["masks"]), None),
        (MASKED, report(has=["masks", "h_mask", "peephole"]), None),
        (MASKED, report(has=["h_mask", "peephole"]), "not measured with masks"),
        (CASE._replace(h_mask=True, peephole=True), report(has=["h_mask"]), "and peep"),
        (CASE._replace(reverse=True), report(), None),  # the same work
        (CASE, report(has=["masks"], ratio=1.2), "1.20 times"),
    ],
)
def test_masks_and_peepholes_count_by_what_was_measured_with_them(
    case, measured, said, folder
):
    check(case, measured, said, folder)


def test_the_rows_of_the_bench_are_what_is_read(folder, monkeypatch):
    """Of contestants that sleep: a key too few stopped every call on that card."""

    def sleeps(*_):
        quick, slow = (functools.partial(time.sleep, s) for s in (0.001, 0.004))
        return {"pallas_gpu": lambda: quick, "xla": lambda: slow}

    monkeypatch.setattr(gpu_bench, "contestants", sleeps)
    shapes = (SHAPE, SHAPE._replace(lengths=True))
    rows = [r for s in shapes for r in gpu_bench.rows(s, "bfloat16", H100.name, runs=2)]
    for case in (CASE, MASKED):
        check(case, report() | {"rows": rows}, None, folder)


def test_what_has_more_masks_counts_where_nothing_is_alike(folder):
    """A slow row with peepholes takes nothing from a call without."""
    slow, fast = (report(ratio=r)["rows"][0] for r in (1.2, 2.0))
    for row, has in ((slow, ["masks", "peephole"]), (fast, ["masks"])):
        row["has"] = has
    rows = {"rows": [slow, fast]}
    check(MASKED, report() | rows, None, folder)


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


def test_the_fastest_cut_that_was_measured_is_taken(folder):
    """If it fits: 32 cells of 768 do not, with their rows of wh."""

    def cells(case, **change) -> list[int]:
        with gpu_tiles.compiling_for(H100):
            sweeps = [s._replace(**change) for s in gpu_tiles.sweeps(case)]
        cuts = [gpu_measured.cut(sweep, H100) for sweep in sweeps]
        return [cut.walk.cells for cut in cuts if cut]

    cluster = CASE._replace(hidden=256, projected=256)
    assert (cells(CASE), cells(cluster)) == ([16, 16], [32, 32])
    name = "{} cells, 1 parts".format
    times = {name(8): 1.0, name(16): 2.0}
    best = {f"{h} 1 bfloat16 forward": times for h in (256, 768)}
    best["768 1 bfloat16 backward"] = {name(16): 3.0, name(8): 2.0, name(32): 1.0}
    measured = report() | {"kernel": "another", "searched": best}
    (folder / "card.json").write_text(json.dumps(measured))
    assert (cells(CASE), cells(cluster)) == ([8, 8], [8, 32])
    assert cells(CASE, batch=65) == [16, 16]
    assert cells(CASE, dtype="float16") == [8, 8]  # as wide as what was searched


def test_the_kernels_name_is_of_all_that_a_launch_is_made_of():
    """A module that one of them uses, and nobody counts, could change unseen."""
    folder = gpu_measured.FOLDER.parent
    files = {f.stem: f for f in folder.glob("gpu_*.py") if f.stem != "gpu_measured"}
    for name in gpu_measured.KERNEL:
        used = set(re.findall(r"\bgpu_\w+", files[name].read_text()))
        assert used & {*files} <= {*gpu_measured.KERNEL}, name


def test_what_is_committed_can_be_read():
    for device, committed in gpu_measured.read(gpu_measured.FOLDER).items():
        assert committed["device"] == device
        assert {"measured", "versions", "kernel", "parts", "rows"} <= set(committed)


def arrays():
    def of(*shape: int):
        return jax.ShapeDtypeStruct(shape, jnp.bfloat16)

    weights = LstmWeights(of(8, 3072), of(768, 3072), of(3072))
    return weights, of(16, 1024, 8)


def told_taken(told: dict[str, str]) -> str:
    return next(name for name, word in told.items() if word == "taken")


@pytest.mark.parametrize("device", sorted(gpu_measured.read(gpu_measured.FOLDER)))
def test_what_is_committed_was_measured_of_this_kernel(device):
    """Or it is the default nowhere: measure again, or take the file away."""
    report = gpu_measured.read(gpu_measured.FOLDER)[device]
    assert report["kernel"] == gpu_measured.kernel()
    assert report["failed"].keys() == {
        p for p in report["parts"] if p[:6] == "tests "
    } - {"tests side by side"}
    assert not any(report["failed"].values())
    case = CASE._replace(time=1024)
    with gpu_tiles.compiling_for(H100._replace(name=device)):
        assert gpu_measured.unproven(case) is None
        assert gpu_measured.unproven(case._replace(resets=True)) is None
        assert "no measurement" in str(gpu_measured.unproven(case._replace(time=1023)))
        assert "no measurement" in str(gpu_measured.unproven(case._replace(hidden=64)))


def test_other_comments_are_not_another_kernel(tmp_path):
    """To measure again takes a GPU."""

    def named(text: str) -> str:
        file = tmp_path / "kernel.py"
        file.write_text(text)
        return gpu_measured.hash_of([file])

    first = named("x = 1\ny = '#'\n")
    assert named("# first\nx = 1  # one\n\n    # then\ny = '#'") == first
    assert named("x = 1\ny = '!'\n") != first
    assert named("x = 2\ny = '#'\n") != first
