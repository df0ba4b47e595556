"""A trace of real steps, and what is read from it."""

import jax
import jax.numpy as jnp
import pytest

from research.errors import UserError
from research.training import job, profiling
from research.training.profiling import Op, Profile


class Event:
    """As `jax.profiler.ProfileData` gives them."""

    def __init__(self, name, start, duration, stats=(("hlo_op", "x"),)):
        self.name, self.start_ns, self.duration_ns = name, start, duration
        self.end_ns, self.stats = start + duration, stats


def test_what_runs_inside_an_op_is_not_counted_twice():
    events = [
        Event("while.3", 0, 100),
        Event("dot.1", 10, 30),
        Event("dot.22", 40, 20),
        Event("tanh", 41, 5),
        Event("copy.7", 100, 7),
        Event("PjitFunction(f)", 0, 1_000, stats=()),
    ]
    found = list(profiling._own_times(events, every=False))
    assert sorted(found) == [
        ("copy", 7), ("dot", 15), ("dot", 30), ("tanh", 5), ("while", 50),
    ]  # fmt: skip
    assert sum(own for _, own in found) == 107


def test_kernels_that_overlap_share_no_time():
    """As a stream of an H200 has them: each launched before the last one is done."""
    events = [
        Event("add.1", 0, 10),
        Event("mul.2", 8, 10),
        Event("dot", 17, 3),
        Event("copy", 30, 5),
    ]
    found = list(profiling._own_times(events, every=False))
    assert found == [("add", 10), ("mul", 8), ("dot", 2), ("copy", 5)]
    inside = [Event("while", 0, 100), *events]
    assert sum(own for _, own in profiling._own_times(inside, every=False)) == 100
    three = [Event("a", 0, 100), Event("x", 90, 20), Event("y", 91, 18)]
    found = sorted(profiling._own_times(three, every=False))
    assert found == [("a", 100), ("x", 1), ("y", 9)]


def test_ends_that_differ_by_rounding_are_the_same():
    """0.1 + 0.7 is not 0.2 + 0.6: the inner op's time was its parent's."""
    events = [Event("while", 0.1, 0.7), Event("add", 0.2, 0.6)]
    found = dict(profiling._own_times(events, every=False))
    assert found == {"while": pytest.approx(0.1), "add": pytest.approx(0.6)}


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """A profile of the steps 3 to 5 of seven, and what each turn said."""

    @jax.jit
    def step(x):
        return jax.lax.fori_loop(0, 4, lambda _, x: jnp.tanh(x @ x), x)

    folder = tmp_path_factory.mktemp("traced") / "profile"
    said, x = {}, jnp.eye(64)
    with Profile((3, 5), folder) as profile:
        said[0] = profile.turn(0, x)
        for number in range(1, 8):
            x = step(x)
            said[number] = profile.turn(number, x)
    return folder, said


def test_a_trace_of_real_steps_names_their_ops(traced):
    folder, said = traced
    assert [number for number, lines in said.items() if lines] == [5]
    head, *rest = said[5]
    assert head.startswith("profile of 3 steps, of ops ")
    assert str(folder) in rest[-1]
    found = profiling.ops(folder)
    assert found == sorted(found, key=lambda op: -op.seconds)
    assert all(op.seconds >= 0 for op in found)
    # The product and its tanh, four times in each of three steps.
    assert any(op.calls == 12 for op in found), found


def test_the_table_gives_shares_and_times_of_a_step(tmp_path):
    found = [Op("dot", 0.006, 12), Op("copy", 0.002, 4)]
    _, first, second, _ = profiling.table(found, 4, tmp_path)
    assert first.split() == ["75.0%", "1.500", "ms", "3.0", "×", "dot"]
    assert second.split() == ["25.0%", "0.500", "ms", "1.0", "×", "copy"]


def test_steps_of_a_call_end_where_the_trace_does(tmp_path):
    profile = Profile((3, 5), tmp_path)
    assert [profile.ahead(step) for step in (0, 2, 4, 5)] == [[2, 5], [3], [1], []]
    assert Profile(None, tmp_path).ahead(0) == []


@pytest.mark.parametrize("steps", [(0, 3), (3, 2), (5, 999)])
def test_steps_that_are_none_are_refused(steps):
    import dataclasses

    from research import parts

    experiment = parts.find("experiments", "seed_lstm").experiment("minutes")
    wrong = dataclasses.replace(experiment, steps=100, profile=steps)
    with pytest.raises(UserError, match=f"--profile {steps[0]} {steps[1]}"):
        job.refuse_wrong(wrong)
