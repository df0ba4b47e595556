"""The lines that bound a TPU kernel's memory, and the program that fits them."""

import importlib.util
from random import Random

import pytest

from kernels.lstm import tpu_memory, tpu_memory_fit
from kernels.lstm.cases import Shape
from kernels.lstm.tpu_memory import KIB, Line, Sweep
from kernels.lstm.tpu_memory_fit import BACKWARD, Call, Place, Sample

SWEEP = Sweep(True, 9, 16, 256, 256, 2, None, *(False,) * 5)
PLANTED = Line(32, 256, flat=40.0, cell=12.0, step=3.0, flags=5.0, peephole=2.0)
SEED = 3


def foreseen(sample: Sample, line: Line) -> float:
    """Bytes that would be foreseen by a line."""
    terms = tpu_memory.terms(line, *sample[1:4])
    return tpu_memory.blocks(*sample[1:4]) + sum(terms)


def samples(count: int) -> list[Sample]:
    """What a compiler would take that keeps to PLANTED."""
    random, found = Random(SEED), []
    for n in range(count):
        flags = {name: random.random() < 0.5 for name in ("peephole", "resets")}
        sweep = SWEEP._replace(h_mask=random.random() < 0.5, **flags)
        rows, time = random.choice([16, 24, 32]), random.choice([1, 2, 4, 8])
        sample = Sample("v5e", sweep, rows, time, 0, named=n < 3)
        used = round(foreseen(sample, PLANTED))
        found.append(sample._replace(used=used))
    return found


def test_a_line_is_found_that_no_sample_is_above():
    known = samples(60)
    line = tpu_memory_fit.fit((32, 256), known)
    for sample in known:
        need = foreseen(sample, line)
        spare = 0 if sample.named else tpu_memory_fit.SPARE * sample.used
        # Numbers of a line are rounded up to tenths, which are 10 KiB of 32 rows by 256
        # cells and 8 steps.
        assert sample.used + spare <= need + 1
        assert need <= (1 + tpu_memory_fit.SPARE) * sample.used + 40 * KIB


def test_a_named_case_that_cannot_be_met_is_told():
    one = samples(1)[0]
    other = one._replace(used=2 * one.used)
    with pytest.raises(ValueError, match=r"no line of \(32, 256\)"):
        tpu_memory_fit.fit((32, 256), [one, other])


def test_lines_go_to_the_place_that_reads_them():
    known, place = samples(60), Place("v5e", "2", "backward")
    small = tpu_memory_fit.fitted(known)
    assert [*small] == [place]
    assert [line.rows for line in small[place]] == [16, 32]
    before = tpu_memory.lines()
    ways = tpu_memory_fit.merged(before, small)["v5e"]
    assert len(ways["2"]["backward"]) == len(before["v5e"]["2"]["backward"])
    for sample in known:
        line = tpu_memory.line_of(sample.sweep, sample.batch, ways)
        assert line == small[place][sample.batch > 16]
        assert foreseen(sample, line) >= sample.used


def test_the_file_is_as_the_program_writes_it():
    table = tpu_memory.lines()
    assert tpu_memory_fit.written(table) + "\n" == tpu_memory.FILE.read_text()
    for dtypes in table.values():
        for ways in dtypes.values():
            for lines in ways.values():
                assert lines[-1][:2] == (256, None)  # no tile is without a line


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="the compiler is not installed: pip install -e '.[preflight]'",
)
@pytest.mark.parametrize("keep", [BACKWARD, None])
def test_a_sample_is_what_the_compiler_takes(keep):
    call = Call("v5e", Shape("small", 3, 2, 1, 128), "bfloat16", keep)
    plan = tpu_memory_fit.planned(call)
    assert plan is not None
    generation, sweep, batch, time = plan
    used = tpu_memory_fit.taken(call)
    assert (sweep.backward, sweep.keep, batch, time) == (keep == BACKWARD, None, 2, 2)
    assert used <= tpu_memory.need(sweep, batch, time, generation) <= used + 2**17
    large = call._replace(generation="v4", case=Shape("large", 3, 2, 1, 4096))
    assert tpu_memory_fit.planned(large) is None
