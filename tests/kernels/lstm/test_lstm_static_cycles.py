"""The compiler's own cycle counts: how they are read, and what the kernels may cost."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernels.lstm import bench, static_cycles, static_programs
from kernels.lstm.static_cycles import Cycles, Program
from launch import bench as verb

BODY = """
%body.1 (carry: s32[]) -> s32[] {
  %inside = f32[] fusion(f32[] %a)
}

ENTRY %main (x: f32[]) -> f32[] {
  %loop = s32[] while(s32[] %start), condition=%until, body=%body.1
  ROOT %outside = f32[] copy(f32[] %x)
}
"""


def test_the_floor_is_the_peak_of_the_matrix_units():
    """197 and 918 TFLOP/s at 1.5 and 1.75 GHz."""
    for generation, flops, clock in (("v5e", 197e12, 1.5e9), ("v6e", 918e12, 1.75e9)):
        want = 8 * 64 * 512**2 / flops * clock
        got = static_cycles.floor(generation, 64, 512)
        assert got == pytest.approx(want, rel=0.01)


def test_what_is_inside_a_loop_counts_once_a_step(tmp_path):
    for name, estimate in (("inside", 10), ("outside", 7), ("loop", 0)):
        file = tmp_path / f"{name}_static_llo_profile.textproto"
        file.write_text(f'hlo_op_name: "{name}"\nestimated_cycles: {estimate}\n')
    assert static_programs._total(tmp_path, BODY, 16) == 16 * 10 + 7


def test_an_empty_profile_is_not_zero_cycles(tmp_path):
    with pytest.raises(RuntimeError, match="wrote no profile"):
        static_programs._total(tmp_path, BODY, 16)


@pytest.mark.parametrize("name", static_programs.PROGRAMS)
def test_each_program_is_known_by_its_name(name):
    assert name in (*static_cycles.KERNELS, *static_cycles.SCANS, "weight_gradient")


def test_the_compiler_ends_with_whoever_asked_it():
    """SIGTERM ends a Python at once, and left a compiler on all cores for a minute."""
    pytest.importorskip("libtpu", reason="the compiler, extra `preflight`")
    program = "from kernels.lstm import static_cycles as s; s.measured(s.LONG[0])"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=static_cycles.ROOT) as asking:
        children = Path(f"/proc/{asking.pid}/task/{asking.pid}/children")
        pids = _soon(lambda: children.read_text().split())
        status = Path(f"/proc/{pids[0]}/status")
        # It has begun to compile, well after it asked to be ended: threads are there.
        _soon(lambda: int(re.findall(r"Threads:\s(\d+)", status.read_text())[0]) > 8)
        asking.terminate()
    assert _soon(lambda: _over(status))


def _soon(found, seconds=60.0):
    end = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.1)
    return value


def _over(status):
    """No such process, or one that is dead and that nobody has asked after."""
    try:
        return "State:\tZ" in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_rows_for_a_person_and_for_a_program(monkeypatch, capsys):
    taken = {
        "forward": 100,
        "forward_kept": 110,
        "backward": 120,
        "weight_gradient": 70,
    }
    taken |= {"scan": 800, "scan_gradient": 2400}

    def measured(program: Program) -> Cycles:
        return Cycles(taken[program.name], "profile")

    monkeypatch.setattr(static_cycles, "measured", measured)
    monkeypatch.setattr(static_cycles, "compiler", lambda: "0.0")
    assert verb.main(["lstm", "--static", "v5e", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 3 * len(static_cycles.CASES)
    assert (rows[0]["cycles"], rows[0]["fewer"]) == (100, 8)
    assert (rows[2]["cycles"], rows[2]["fewer"]) == (300, 8)
    assert rows[2]["over_floor"] == 300 / (3 * 1024)
    said = bench.told(rows[0])
    assert said is not None
    assert "8.00× fewer than lax.scan" in said


def test_another_tpu_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        verb.main(["lstm", "--static", "v3"])
    assert end.value.code == 2
    assert "invalid choice: 'v3'" in capsys.readouterr().err


GOLDEN = json.loads(static_cycles.GOLDEN.read_text())


def installed() -> str:
    try:
        return static_cycles.compiler()
    except ModuleNotFoundError:
        return "none"


COUNTED = pytest.mark.skipif(
    installed() != GOLDEN["libtpu"],
    reason=f"counted with libtpu {GOLDEN['libtpu']}, and here is {installed()}",
)


@COUNTED
@pytest.mark.parametrize(
    "program",
    [
        *static_cycles.GUARDED,
        *(pytest.param(p, marks=pytest.mark.wide) for p in static_cycles.LONG),
    ],
    ids=static_cycles.key,
)
def test_no_kernel_gets_slower(program):
    """`python -m kernels.lstm.static_cycles` remakes the numbers, if that was meant."""
    allowed = GOLDEN["a_step"][static_cycles.key(program)]
    taken = static_cycles.measured(program)
    assert taken.recipe == allowed["by"]
    assert taken.a_step <= static_cycles.SLOWER * allowed["cycles"]


@COUNTED
@pytest.mark.wide
@pytest.mark.parametrize(("generation", "batch"), [("v5e", 64), ("v6e", 256)])
def test_the_weights_gradient_costs_what_a_gemm_costs(generation, batch):
    """A difference of two lengths once said 0.2 of what the matrix units need."""
    taken = static_cycles.measured(Program("weight_gradient", generation, batch, 512))
    floor = static_cycles.floor(generation, batch, 512)
    assert floor <= taken.a_step <= 1.6 * floor
