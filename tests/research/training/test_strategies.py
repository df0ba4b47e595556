"""Every strategy trains as pmap does, on four devices."""

import ast
import dataclasses
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest

from research import parts
from research.errors import UserError
from research.experiment import Data, Experiment, Training
from research.models import lstm, seed_pair
from research.optimizers import Optimizer
from research.tasks.gan import Gan
from research.tasks.supervised import Supervised
from research.training import devices, strategies
from research.training.job import prepare
from research.training.members import Members
from research.training.strategies import COPIED, OWN, PLAIN

STEPS = 20
NAMES = parts.names("research.training.strategies")
JOBS = {
    # BatchNorm in G, a gradient penalty of D: second derivatives
    "gan": Experiment(
        steps=STEPS,
        batch_size=8,
        data=Data("digits"),
        model=seed_pair.Model(width=2, latent=4, channels=1),
        task=Gan("relativistic", {"r1": 1.0}, ema=0.5),
        optimizer=Optimizer("adam", 1e-3, beta1=0.5),
    ),
    # The whole sequence in one Pallas kernel
    "pallas": Experiment(
        steps=STEPS,
        batch_size=4,
        data=Data("digits_8"),
        model=lstm.Model(hidden=4, backend="kernels.lstm.interpreted"),
        task=Supervised(),
        optimizer=Optimizer("rmsprop", 1e-3),
    ),
}


def with_strategy(name, strategy):
    return dataclasses.replace(JOBS[name], training=Training(strategy))


@cache
def members(name):
    return Members([prepare(name, JOBS[name])])


@cache
def trained(name, strategy):
    """The state after STEPS, and the metrics of all of them, as numpy arrays."""
    found = strategies.find(with_strategy(name, strategy))
    of = members(name)
    step = found.parallel(of.step(jax.device_count()))
    state = found.replicate(of.stack(start(name)))
    inputs = found.replicate((of.values, of.jobs[0].train.arrays))
    told = []
    for _ in range(STEPS):
        state, metrics = step(state, *inputs)
        told.append(found.fetch(metrics))
    return found.fetch(state), told


@cache
def start(name):
    return members(name).initial_states()


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("strategy", [n for n in NAMES if n != "pmap"])
def test_it_trains_as_pmap_does(name, strategy):
    assert jax.device_count() == 4
    want, got = (trained(name, s) for s in ("pmap", strategy))
    moved = [
        (np.asarray(a) != b).any()
        for a, b in zip(*map(jax.tree.leaves, (start(name)[0], got[0])), strict=True)
    ]
    assert sum(moved) > len(moved) / 2
    for one, other in zip(*map(jax.tree.leaves, (want, got)), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_each_input_lies_where_it_is_said_to(name):
    """A sum over four devices, by hand."""
    strategy = strategies.find(with_strategy("gan", name))

    def step(state, many, copied, own):
        mine = many * (state + copied.sum()) + own.sum()
        return jax.lax.psum(mine, "batch"), {"own": jax.lax.pmean(own, "batch")}

    state = strategy.replicate(np.float32(1))
    copied = strategy.replicate(np.array([2, 3], np.float32))
    own = strategy.distribute(np.arange(8, dtype=np.float32).reshape(4, 2))
    compiled = strategy.parallel(step, (PLAIN, COPIED, OWN))
    lies = state.sharding
    new, told = compiled(state, np.float32(10), copied, own)
    assert strategy.fetch(new) == 4 * 10 * (1 + 5) + 28
    np.testing.assert_array_equal(strategy.fetch(told)["own"], [3, 4])
    assert state.is_deleted()  # donated
    assert new.sharding == lies  # or the next call would be compiled anew
    shapes = strategy.shapes({"a": np.zeros((2,))}, 4)["a"].shape
    assert shapes == copied.shape


def test_an_unknown_strategy_is_refused_by_name():
    wrong = with_strategy("gan", "pmpa")
    with pytest.raises(UserError, match="did you mean 'pmap'"):
        prepare("gan", wrong)


def test_a_step_is_called_when_those_before_it_are_done(monkeypatch):
    """All but STEPS_IN_FLIGHT: more could starve the threads of a collective."""
    waited = []
    monkeypatch.setattr(devices.jax, "block_until_ready", waited.append)
    step = devices.Bounded(lambda state: (state + 1, state))
    state = 0
    for _ in range(5):
        state, _ = step(state)
    assert waited == list(range(5 - devices.STEPS_IN_FLIGHT))


ROOT = Path(__file__).resolve().parents[3]
# The only makers of programs with collectives; each gives them to `Bounded`, or waits
# for the call before.
MAKERS = {
    "research/training/strategies/pmap.py",
    "research/training/strategies/jit.py",
    "research/training/layout.py",
    "research/training/processes.py",
}


def test_no_program_of_several_devices_is_made_but_where_calls_are_bounded():
    found = {
        str(file.relative_to(ROOT))
        for folder in ("research", "experiments", "launch")
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("pmap", "shard_map")
        and isinstance(node.value, ast.Name) and node.value.id == "jax"
    }  # fmt: skip
    assert found == MAKERS


HURRIED = """
import jax, numpy as np
from research.training.strategies import {0} as strategy

def step(state, x):
    for _ in range(4):
        state = jax.lax.pmean(state @ x, "batch")
    return state, dict(norm=(state**2).sum())

state, x = strategy.replicate((np.eye(16, dtype="f"), np.eye(16, dtype="f")))
compiled = strategy.parallel(step)
for _ in range(1500):
    state, told = compiled(state, x)
print(jax.device_count(), float(strategy.fetch(told)["norm"]))
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_loop_that_never_waits_does_not_starve_a_collective(name):
    """8 devices on XLA's own number of threads, one a core: aborted when unbounded."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"}
    del environment["NPROC"]
    ended = subprocess.run(
        [sys.executable, "-c", HURRIED.format(name)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.split() == ["8", "16.0"]
