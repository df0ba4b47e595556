"""Seconds by what they went into: all of them, each once."""

import time

import jax
import pytest

from research.training import goodput
from research.training.goodput import Goodput


def test_each_second_counts_once_and_for_the_innermost():
    began = time.perf_counter()
    clock = Goodput()
    with clock.during("steps"):
        time.sleep(0.05)
        with clock.during("saving"):
            time.sleep(0.1)
            with clock.during("evaluation"):
                time.sleep(0.02)
        time.sleep(0.03)
    seconds = clock.seconds()
    assert sum(seconds.values()) == pytest.approx(time.perf_counter() - began, abs=0.01)
    for kind, least in [("steps", 0.08), ("saving", 0.1), ("evaluation", 0.02)]:
        assert least <= seconds[kind] < least + 0.5  # a busy machine sleeps longer
    assert seconds["compile"] == seconds["data"] == 0.0


def test_a_block_that_fails_gives_its_time_back():
    clock = Goodput()
    with pytest.raises(ValueError, match="inside"), clock.during("data"):
        raise ValueError("inside")
    time.sleep(0.05)
    seconds = clock.seconds()
    assert seconds["other"] >= 0.05 > seconds["data"]


def test_compiling_is_taken_out_of_what_it_is_part_of():
    @jax.jit
    def slow_to_trace(x):
        time.sleep(0.5)
        return x * time.time()  # another program each time

    jax.jit(lambda x: x + time.time())(1.0)  # finds the devices, by itself a second
    with Goodput() as clock, clock.during("steps"):
        jax.jit(lambda x: slow_to_trace(x))(1.0)
    seconds = clock.seconds()
    assert seconds["compile"] >= 0.5
    # The trace of the outer holds the inner one's: counted twice, steps are negative.
    assert seconds["steps"] >= 0
    before = dict(seconds)
    jax.jit(lambda x: x * time.time())(1.0)  # after the end of the context
    assert clock.seconds()["compile"] == before["compile"]


def test_a_program_compiled_while_another_is_traced_counts_once():
    @jax.jit
    def traced(x):
        with jax.ensure_compile_time_eval():  # compiled in the midst of the trace
            known = jax.jit(lambda y: y * time.time())(2.0)
            time.sleep(0.5)
        return x * known

    with Goodput() as clock:
        began = time.perf_counter()
        traced(1.0)
        whole = time.perf_counter() - began
    seconds = clock.seconds()
    assert 0.5 <= seconds["compile"] <= whole
    assert seconds["other"] >= 0


def test_the_shares_are_told_the_largest_first():
    text = goodput.told({"steps": 30.0, "saving": 1.0, "compile": 9.0, "data": 0.0})
    assert text == "40 s: 75.0% steps, 22.5% compile, 2.5% saving"
