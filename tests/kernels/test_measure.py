"""The timing of contestants in turns, and the rows made of it."""

import numpy as np
import pytest

from kernels import measure


def test_contestants_take_turns_and_warm_up():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    taken = measure.interleaved(calls, runs=2)
    assert order == ["a", "b", *["a", "a", "b", "b"] * 2]
    assert {name: len(t) for name, t in taken.items()} == {"a": 2, "b": 2}


def test_time_is_in_milliseconds(monkeypatch):
    clock = iter([10.0, 10.5])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    assert measure.interleaved({"a": lambda: None}, runs=1)["a"] == [500.0]


def test_a_ratio_is_the_median_over_rounds_of_theirs_over_ours():
    taken = {"xla": np.array([1.0, 2.0, 4.0]), "torch": np.array([3.0, 4.0, 4.0])}
    row = measure.row("lstm", "odd", "xla", "forward", taken, ("torch",))
    assert (row["bench"], row["case"], row["what"]) == ("lstm", "odd", "forward")
    assert (row["median"], row["unit"], row["runs"]) == (2.0, "ms", 3)
    assert row["ratios"]["torch"] == {"median": 2.0, "q25": 1.5, "q75": 2.5}


def test_a_mean_of_ratios_is_geometric_and_of_one_backend():
    def row(backend, case, ratio):
        taken = {backend: np.array([1.0]), "torch": np.array([ratio])}
        return measure.row("lstm", case, backend, "forward", taken, ("torch", backend))

    ours, other = measure.means(
        [row("xla", "a", 0.5), row("native", "a", 3.0), row("xla", "b", 8.0)]
    )
    assert (ours["backend"], ours["cases"], other["cases"]) == ("xla", 2, 1)
    assert ours["ratios"] == pytest.approx({"torch": 2.0})
    assert other["ratios"] == pytest.approx({"torch": 3.0})


def test_a_missing_yardstick_says_how_to_get_it():
    with pytest.raises(ModuleNotFoundError, match=r"no_such_thing.*pip install"):
        measure.yardstick("no_such_thing.linen")
