"""A population as a user sees it: each member's workdir is that of the run alone."""

import json
import os
import signal

import pytest

SHORT = ("--steps", "24", "--score-pictures", "0")
POPULATION = ("--population.seeds", "3")


@pytest.fixture(scope="module")
def population(launch, tmp_path_factory):
    """A root with three seeds of the small LSTM, trained at once in one go."""
    root = tmp_path_factory.mktemp("population") / "root"
    done = launch("train", *launch.LSTM, *SHORT, *POPULATION, "--workdir", root)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return root


def lines(workdir):
    return list(map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines()))


def close(want):
    return pytest.approx(want, rel=1e-4, abs=1e-6)


def test_a_member_tells_what_the_run_alone_tells(launch, population, tmp_path):
    member, alone = population / "seed_1", tmp_path / "alone"
    options = [*launch.LSTM, *SHORT, "--seed", "1", "--workdir", alone]
    code, _, error = launch.within("train", *options)
    assert code == 0, error
    for got, want in zip(lines(member), lines(alone), strict=True):
        assert got | {"seconds": 0} == close(want | {"seconds": 0})
    ours, theirs = (
        json.loads((w / "summary.json").read_text()) for w in (member, alone)
    )
    assert (ours["trained_at_once"], theirs["trained_at_once"]) == (3, 1)
    for name, measured in theirs["metrics"].items():
        assert ours["metrics"][name]["value"] == close(measured["value"])
    configs = [json.loads((w / "config.json").read_text()) for w in (member, alone)]
    assert configs[0]["config"] == configs[1]["config"]
    # So the single run may go on where the population left off.
    code, out, _ = launch.within(
        "train", *launch.LSTM, *SHORT, "--seed", "1", "--workdir", member
    )
    assert (code, "already" in out) == (0, True)


def test_each_member_is_read_like_any_run(launch, population):
    hashes = {seed: launch.hashes(population / f"seed_{seed}")[24] for seed in range(3)}
    assert len(set(hashes.values())) == 3
    code, out, _ = launch.within("evaluate", population / "seed_2", "--json")
    assert code == 0
    assert json.loads(out)["step"] == 24
    page = (population / "report.md").read_text()
    assert all(f"seed_{seed}" in page for seed in range(3))
    assert launch.within("report", population)[0] == 0


def test_killed_and_started_again_every_member_ends_the_same(
    launch, population, tmp_path
):
    root = tmp_path / "killed"
    command = ("train", *launch.LSTM, *SHORT, *POPULATION, "--workdir", root)
    with launch.start(*command) as process:
        launch.wait_for_step(process, root / "seed_2", 10)
        os.kill(process.pid, signal.SIGKILL)
    rest = launch(*command)
    assert rest.returncode == 0, rest.stderr
    assert "continues at step" in rest.stdout
    for seed in range(3):
        ours, theirs = (folder / f"seed_{seed}" for folder in (root, population))
        assert launch.hashes(ours) == launch.hashes(theirs)
        for got, want in zip(lines(ours), lines(theirs), strict=True):
            assert got | {"seconds": 0} == want | {"seconds": 0}
