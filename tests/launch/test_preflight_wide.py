"""`preflight` of everything: each experiment, whole comparisons, and the clock."""

import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.ahead import targets
from research import parts

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.wide,
    pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs libtpu"),
]


@pytest.fixture(scope="module", autouse=True)
def compilers():
    """As in test_preflight.py: loaded under the process's own environment."""
    targets.devices(targets.find("v5e-1"))


def found(launch, *command):
    """The programs' JSON. A batch that does not divide is told in a line, and rounded
    as that says."""
    code, out, error = launch.within("preflight", *command, "--json")
    if code == 2:
        (line,) = error.splitlines()
        rounded = re.search(r"does not divide over 8 devices: take (\d+) or", line)
        assert rounded, line
        more = ("--batch-size", rounded[1])
        code, out, error = launch.within("preflight", *command, *more, "--json")
    assert code == 0, error
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", parts.names("experiments"))
def test_every_experiment_on_a_slice(launch, name):
    programs = found(launch, name, "--budget", "minutes", "--target", "v5e-8")
    assert programs
    for one in programs:
        assert one["fits"]
        assert one["lower_bound"]["seconds"] > 0
        # Each member of a population that fills a slice by itself exchanges nothing.
        assert one["collectives"] or len(one["runs"]) > 1


def test_a_comparison_is_a_line_a_member(launch):
    command = ("--budget", "minutes", "--target", "v5e-1")
    programs = found(launch, "gan_vs_lstm", *command)
    assert [one["experiment"] for one in programs] == [
        "seed_gan",
        "steady_gan",
        "pixel_lstm",
    ]
    assert [len(one["kernels"]) for one in programs] == [0, 0, 1]


def test_each_update_of_d_sends_its_gradient(launch):
    once, five = (
        found(
            launch, "ring", "--batch-size", "64", "--target", "v5e-8",
            "--task.discriminator-steps", steps,
        )[0]
        for steps in (1, 5)
    )  # fmt: skip
    # D: 2 → 128 → 128 → 128 → 1, in float32; G and the record are sent as they were.
    d = 4 * ((2 * 128 + 128) + 2 * (128 * 128 + 128) + (128 + 1))
    sent = [one["collectives"][0]["bytes"] for one in (once, five)]
    assert 0 < sent[1] - sent[0] == 4 * d


def test_within_a_minute_of_two_cores(launch):
    """Of CPU time, which no neighbour lengthens as much as the clock: two idle cores
    take at most that."""
    command = [sys.executable, "-m", "launch", "preflight", "seed_gan"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    ended = subprocess.run(
        [*command, "--target", "v5e-8"],
        cwd=ROOT, env=os.environ | {"TFDS_DATA_DIR": launch.data},
        capture_output=True, text=True,
    )  # fmt: skip
    took, after = (
        time.perf_counter() - began,
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"preflight seed_gan --target v5e-8: {took:.1f} s, {cpu:.1f} s of CPU time")
    assert ended.returncode == 0, ended.stderr
    assert "fits: yes" in ended.stdout
    assert cpu < 60
