"""`sweep`: which runs, what is missing, and the table that it ends in."""

import json
import math
import statistics
import subprocess
import time

import pytest

SMALL = (
    "seed_lstm --steps 4 --batch-size 8 --model.hidden 4 --validation-examples 20 "
    "--checkpoint-every 4 --log-every 2"
)
GRID = "--over optimizer.learning-rate=0.01,0.001 --seeds 2 --metric loss"


def sweep(launch, command, folder):
    arguments = [*command.split(), "--workdir", folder]
    code, out, error = launch.within("sweep", *arguments)
    assert code == 0, error
    return out


def summary(folder, name):
    return json.loads((folder / name / "summary.json").read_text())


@pytest.fixture(scope="module")
def swept(launch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    return folder, sweep(launch, f"{SMALL} {GRID}", folder)


def test_a_grid_over_seeds_ends_in_a_table_with_mean_spread_and_rank(swept):
    folder, out = swept
    table = json.loads((folder / "sweep.json").read_text())
    assert [row["rank"] for row in table["rows"]] == [1, 2]
    assert table["rows"][0]["mean"] <= table["rows"][1]["mean"]  # less loss is better
    for row in table["rows"]:
        rate = row["setting"]["optimizer.learning-rate"]
        losses = [
            summary(folder, f"optimizer.learning-rate_{rate}-seed_{seed}")["metrics"][
                "loss"
            ]
            for seed in (0, 1)
        ]
        values = [loss["value"] for loss in losses]
        assert row["values"] == values
        assert values[0] != values[1]
        assert row["mean"] == pytest.approx(statistics.fmean(values))
        assert row["spread"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
    assert "| 1 | optimizer.learning-rate " in out
    assert (folder / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    assert "![loss](sweep.png)" in (folder / "sweep.md").read_text()


def test_only_what_is_missing_runs(launch, swept):
    folder, _ = swept
    lost = folder / "optimizer.learning-rate_0.01-seed_1"
    before = summary(folder, lost.name)["metrics"]
    times = {p: p.stat().st_mtime_ns for p in folder.glob("*/summary.json")}
    (lost / "summary.json").unlink()
    out = sweep(launch, f"{SMALL} {GRID}", folder)
    assert "3 of 4 are done already" in out
    assert out.count("of 1, optimizer.learning-rate_0.01-seed_1") == 1
    assert summary(folder, lost.name)["metrics"] == before
    for path, stamp in times.items():
        assert path.parent == lost or path.stat().st_mtime_ns == stamp


def test_runs_of_other_settings_are_not_taken_for_those_that_are_asked_for(
    launch, swept
):
    folder, _ = swept
    command = f"{SMALL} {GRID} --steps 5 --log-every 1"
    arguments = [*command.split(), "--workdir", folder]
    code, out, error = launch.within("sweep", *arguments)
    (line,) = error.splitlines()
    assert (code, out) == (2, "")
    assert "holds a run of other settings (steps 4 → 5): give the same" in line


def test_as_a_population_the_numbers_are_those_of_runs_alone(launch, swept, tmp_path):
    folder, _ = swept
    sweep(launch, f"{SMALL} {GRID} --how population", tmp_path)
    for one in folder.glob("*/summary.json"):
        alone = summary(folder, one.parent.name)["metrics"]["loss"]["value"]
        together = summary(tmp_path, one.parent.name)["metrics"]["loss"]["value"]
        assert together == pytest.approx(alone, rel=1e-4)


def test_as_processes(launch, swept, tmp_path):
    folder, _ = swept
    command = f"{SMALL} --over optimizer.learning-rate=0.01,0.001 --seeds 1"
    sweep(launch, f"{command} --how processes --metric loss", tmp_path)
    for rate in ("0.01", "0.001"):
        alone = summary(folder, f"optimizer.learning-rate_{rate}-seed_0")["metrics"]
        assert summary(tmp_path, f"optimizer.learning-rate_{rate}")["metrics"] == alone
        assert (
            (tmp_path / "logs" / f"optimizer.learning-rate_{rate}.txt").stat().st_size
        )


SAVING = (
    'trap "sleep 0.2; : >saved; exit 85" TERM; : >ready; while :; do sleep 0.02; done'
)


def test_children_have_saved_when_an_error_leaves_them(tmp_path, monkeypatch):
    from launch.sweeps import points, running
    from research.training.stop import StopRequest

    def start(point, folder, logs):
        if point.name == "seed_0":
            return subprocess.Popen(["/bin/sh", "-c", SAVING], cwd=tmp_path)
        until = time.monotonic() + 30
        while not (tmp_path / "ready").exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        raise OSError("no more processes")

    monkeypatch.setattr(running, "_start", start)
    _, found = points.points("seed_lstm", [], [], seeds=2)
    with pytest.raises(OSError, match="no more"):
        running.processes(found, tmp_path, 2, StopRequest())
    assert (tmp_path / "saved").exists()


def test_one_point_alone_as_a_task_of_an_array(launch, tmp_path):
    command = [*f"{SMALL} {GRID} --only 3".split(), "--workdir", tmp_path]
    code, _, error = launch.within("sweep", *command)
    assert code == 0, error
    assert [p.name for p in tmp_path.iterdir()] == [
        "optimizer.learning-rate_0.001-seed_1"
    ]


def test_random_settings_are_drawn_between_the_ends_and_the_same_again():
    from launch.sweeps import points
    from launch.sweeps.axes import axis

    axes = [
        axis("optimizer.learning-rate=1e-5..1e-2"),
        axis("model.hidden=2..9"),
        axis("task.label-smoothing=0.0,0.1"),
    ]
    _, found = points.points("seed_lstm", [], axes, draws=80)
    rates = [p.experiment.optimizer.learning_rate for p in found]
    hidden = {p.experiment.model.hidden for p in found}
    assert 1e-5 <= min(rates) < 3e-5
    assert 5e-3 < max(rates) <= 1e-2
    # Uniform in the exponent: as many below the geometric mean as above.
    below = sum(rate < 10**-3.5 for rate in rates)
    assert 28 <= below <= 52
    assert hidden == set(range(2, 10))
    assert {p.experiment.task.label_smoothing for p in found} == {0.0, 0.1}
    clip = [axis("optimizer.clip-norm=1..100")]  # not of whole numbers
    norms = [
        point.experiment.optimizer.clip_norm
        for point in points.points("seed_lstm", [], clip, draws=4)[1]
    ]
    assert not any((norm or 1.0).is_integer() for norm in norms)
    again = points.points("seed_lstm", [], axes, draws=9)[1]
    assert [p.experiment for p in again] == [p.experiment for p in found[:9]]


def test_switches_and_whole_numbers_make_a_grid_with_a_name_for_each_field():
    from launch.sweeps import points
    from launch.sweeps.axes import axis

    axes = [
        axis("optimizer.normalize=true,False"),
        axis("model.width=2..3"),
    ]
    _, found = points.points("seed_gan", [], axes)
    made = [point.experiment for point in found]
    assert [(one.optimizer.normalize, one.model.width) for one in made] == [
        (True, 2), (True, 3), (False, 2), (False, 3),
    ]  # fmt: skip
    assert found[0].name == "optimizer.normalize_true-model.width_2"
    assert "--optimizer.no-normalize" in found[2].arguments
    few = [axis("model.width=1..4")]
    _, drawn = points.points("seed_gan", [], few, draws=4)
    assert sorted(point.experiment.model.width for point in drawn) == [1, 2, 3, 4]


def test_an_array_for_slurm_has_a_task_for_each_point(launch, tmp_path):
    out = sweep(launch, f"{SMALL} {GRID} --how slurm --time 00:10:00", tmp_path)
    assert "#SBATCH --array=0-3" in out
    assert '--only "$SLURM_ARRAY_TASK_ID"' in out
    assert "--how" not in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("", "which experiment?"),
        ("seed_lstm", "over what?"),
        ("seed_lstm --over hidden", "write FIELD=VALUE"),
        ("seed_lstm --over model.hidden=9..2 --random 3", "a range goes up"),
        ("seed_lstm --seeds 99999999", "this sweep is 99,999,999 runs: give 10,000 or"),
        (
            "seed_lstm --over model.hidden=1..6000 --seeds 2",
            "sweep is 12,000 runs",
        ),
        ("seed_lstm --over model.hidden=1..9 --random 10001", "is 10,001 runs"),
        ("seed_lstm --over optimizer.beta1=0.1..0.9", "say with --random N"),
        ("seed_lstm --over model.hidden=2..4 --random 4", "only 3 settings"),
        ("seed_lstm --over optimizer.clip-norm=1..100", "say with --random N"),
        ("seed_lstm --over optimizer.beta1=0.5,5e-1", "_5e-1 are the same run"),
        ("seed_lstm --over seed=1,2 --seeds 2", "seed is swept twice"),
        ("seed_gan --over optimizer.normalize=yes", "it is a switch, true or false"),
        ("seed_lstm --seeds 2 --population.seeds 3", "seeds are --seeds 3"),
        (
            "seed_lstm --seeds 2 --population.vary optimizer.beta1=0.1,0.2",
            "that is --over FIELD=A,B",
        ),
        ("seed_lstm --seeds two", "--seeds two: give a whole number"),
        ("seed_lstm --seeds 2 --how processses", "did you mean 'processes'?"),
        ("gan_vs_lstm --seeds 2", "a comparison of several runs"),
        ("seed_lstm --seeds 2 --how slurm --nodes 2", "one run on one machine"),
        ("seed_lstm --seeds 2 --only 2", "points are 0 to 1"),
        ("seed_gan --over task.loss=hinge,hinj", "research/losses has no 'hinj'"),
    ],
)
def test_mistakes_are_told_before_anything_runs(launch, tmp_path, command, says):
    arguments = [*command.split(), *(["--workdir", tmp_path] if command else [])]
    code, _, error = launch.within("sweep", *arguments)
    if not command:
        assert code == 2
        return
    assert code == 2
    (line,) = error.splitlines()
    assert says in line
    assert not list(tmp_path.iterdir())
