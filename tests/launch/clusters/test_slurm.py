"""The batch script: its text, and in a real SLURM from submit to report."""

import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from launch.__main__ import main
from launch.clusters import slurm
from research.errors import UserError

_HERE = Path(__file__).with_name("slurm_here.py")
_SPEC = importlib.util.spec_from_file_location("slurm_here", _HERE)
assert _SPEC is not None
assert _SPEC.loader is not None
slurm_here = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(slurm_here)

RUNNER = f"{sys.executable} -m launch"
TINY = (
    "seed_lstm --batch-size 8 --model.hidden 4 --validation-examples 20 "
    "--checkpoint-every 50 --log-every 1"
)


def script(*more, name="seed_lstm"):
    return ["slurm", name, "--batch-size", "8", *more]


def test_the_header_and_the_command(capsys, tmp_path):
    options = ["--time", "01:00:00", "--sbatch=--gres=gpu:8"]
    assert main(script(*options, "--workdir", str(tmp_path))) == 0
    text = capsys.readouterr().out
    for line in (
        "--nodes=1", "--time=01:00:00", "--gres=gpu:8", "--requeue",
        "--signal=TERM@120", "--open-mode=append", f"--output={tmp_path}/slurm_%j.txt",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in text
    assert "launch/run train seed_lstm --batch-size 8 --workdir" in text
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_workdir_on_a_bucket_stays_an_address(capsys):
    assert main(script("--workdir", "gs://mine/runs/a")) == 0
    text = capsys.readouterr().out
    assert "--batch-size 8 --workdir gs://mine/runs/a\n" in text
    assert (
        f"#SBATCH --output={Path('runs/seed_lstm').absolute()}/slurm_%j.txt\n" in text
    )


def test_several_machines_are_joined_by_slurms_variables(capsys, tmp_path):
    assert main(script("--nodes", "2", "--workdir", str(tmp_path))) == 0
    text = capsys.readouterr().out
    assert "#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=1\n" in text
    assert "export LAUNCH_DISTRIBUTED=slurm\nsrun --kill-on-bad-exit=1" in text


def test_shell_characters_stay_words(capsys, tmp_path):
    nasty = 'a b\'; $(touch x) `y` "z"'
    command = script("--data.folder", nasty, "--workdir", str(tmp_path))
    assert main(command) == 0
    text = capsys.readouterr().out
    (line,) = [li for li in text.splitlines() if "launch/run train" in li]
    assert shlex.split(line)[-4:] == [
        "--data.folder",
        nasty,
        "--workdir",
        str(tmp_path),
    ]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--name", "a;b"], "--name 'a;b'"),
        (["--time", "1 h"], "--time '1 h'"),
        (["--workdir", "a\n#SBATCH --uid=0"], "--workdir"),
        (["--workdir", "a%j"], "--workdir"),
        (["--workdir", "s3://b/x"], "s3:/ is no kind of bucket"),
        (["--nodes", "0"], "--nodes is 0"),
        (["--nodes", "two"], "give a whole number"),
        (["--out", __file__], "exists: name a new file"),
        (["--out", "/nowhere/a.sh"], "cannot be written (No such file"),
        (["--out", "gs://mine/a.sh"], "a workdir may be on a bucket, this may not"),
        (["--runner", "a 'b"], "quote it as in a shell"),
        (["--steps", "0"], "--steps is 0: give 1 or more"),
        (["--task.encoding", "no_such"], "no_such"),
    ],
)
def test_mistakes(capsys, more, says):
    assert main(script(*more)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_without_slurm_it_says_so_and_leaves_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    command = script("--submit", "--workdir", f"{tmp_path}/a", "--out", f"{tmp_path}/b")
    assert main(command) == 2
    said = capsys.readouterr()
    assert "there is no `sbatch` on PATH" in said.err
    assert said.out == ""
    assert not [*tmp_path.iterdir()]


def test_a_refusal_is_a_line_and_leaves_nothing(capsys, tmp_path, fake):
    sbatch, file = fake("sbatch"), tmp_path / "job.sh"
    sbatch.answer("", err="sbatch: error: Access/permission denied", code=1, times=1)
    sbatch.answer("", out="7;mine")
    before, folder = {*tmp_path.iterdir()}, tmp_path / "new" / "run"
    command = script("--submit", "--workdir", str(folder), "--out", str(file))
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "permission denied" in line
    assert "ask for the role" in line
    assert {*tmp_path.iterdir()} == before
    assert main(command) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"job 7: logs in {folder}/slurm_*.txt", str(file)]
    assert folder.is_dir()
    assert file.read_text().startswith("#!/usr/bin/env bash\n#SBATCH")


def test_the_scripts_own_rules():
    job = slurm.Job("a", ("launch/run", "train", "x"), Path("/tmp/x"), array="0-3%2")
    text = slurm.script(job)
    assert "#SBATCH --array=0-3%2\n" in text
    several = slurm.script(job._replace(nodes=2))
    assert "#SBATCH --nodes=2\n" in several
    assert "export LAUNCH_DISTRIBUTED=slurm\nsrun" in several
    with pytest.raises(UserError, match="--sbatch"):
        slurm.script(job._replace(array=None, options=("--x=1 --y",)))


# --- a real SLURM ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if reason := slurm_here.missing():
        pytest.skip(f"no SLURM: {reason}")
    found = slurm_here.Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        found.up()
        yield found
    finally:
        found.down()


@pytest.fixture
def submit(cluster, launch, monkeypatch, capsys):
    """`slurm … --submit` or `sweep --how slurm --submit`; the job's number."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TFDS_DATA_DIR", launch.data)

    def run(*arguments):
        assert main([*map(str, arguments), "--runner", RUNNER, "--submit"]) == 0
        line = capsys.readouterr().out.splitlines()[-1]
        return line.split()[1].rstrip(":")

    return run


def test_on_two_machines_preempted_requeued_and_done(
    cluster, submit, launch, tmp_path, monkeypatch
):
    """From submit to report, with one preemption on the way; two devices each."""
    workdir = tmp_path / "run"
    command = [*TINY.split(), "--steps", "600", "--workdir", workdir]
    # The virtual nodes' names resolve to nothing.
    port, _ = slurm_here.free_ports()
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", f"127.0.0.1:{port}")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "2")
    number = submit("slurm", *command, "--nodes", "2", "--time", "00:10:00")
    until = cluster.wait(number, "RUNNING")
    assert until["Requeue"] == "1"
    while not launch.logged_steps(workdir)[-1:] >= [20]:
        assert cluster.job(number)["JobState"] == "RUNNING"
    cluster.call("scancel", "--signal=TERM", number)
    about = cluster.wait(number, "COMPLETED", "FAILED", "TIMEOUT", seconds=200)
    log = (workdir / f"slurm_{number}.txt").read_text()
    assert about["JobState"] == "COMPLETED", log
    assert about["Restarts"] == "1"
    assert "preempted, saved" in log
    assert "back into the queue" in log
    assert "continues at step" in log
    assert json.loads((workdir / "summary.json").read_text())["steps"] == 600
    stamp = json.loads((workdir / "config.json").read_text())["stamp"]
    assert (stamp["topology"]["processes"], stamp["devices"]) == (2, 4)
    assert (workdir / "report.html").exists()
    assert launch.logged_steps(workdir).count(21) == 1


def test_a_sweep_as_an_array(cluster, submit, launch, tmp_path):
    command = [*TINY.split(), "--steps", "4", "--seeds", "2", "--workdir", tmp_path]
    number = submit("sweep", *command, "--how", "slurm", "--time", "00:10:00")
    for task in (0, 1):
        about = cluster.wait(f"{number}_{task}", "COMPLETED", "FAILED")
        log = (tmp_path / f"slurm_{number}_{task}.txt").read_text()
        assert about["JobState"] == "COMPLETED", log
    # The table is made by the same command, which finds nothing missing.
    code, out, error = launch.within("sweep", *command)
    assert code == 0, error
    assert "2 of 2" in json.dumps(
        json.loads((tmp_path / "sweep.json").read_text())
    ) or ("| 1 | as it is |" in out)
