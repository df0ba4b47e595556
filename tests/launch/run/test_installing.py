"""`launch/run` when something is missing: what it installs, and when it is stopped."""

import json
import os
import shutil
import signal

import pytest


def test_installs_what_the_constraints_pin(repository):
    assert repository.told()["installed"]["plain"] == "1.0"  # and not the newer 2.0


@pytest.mark.parametrize("file", ["pyproject.toml", ".ci/constraints.txt"])
def test_a_changed_requirement_is_installed(repository, file):
    path = repository.root / file
    text = path.read_text().replace("==1.0", "==2.0")
    path.write_text(text.replace('"plain"', '"plain", "chip-tpu"'))
    installed = repository.told()["installed"]
    assert installed["plain"] == ("1.0" if file == "pyproject.toml" else "2.0")
    assert ("chip_tpu" in installed) == (file == "pyproject.toml")


def test_extras_are_added_when_first_asked_for_and_kept(repository):
    first = repository.run("bench")
    assert "extras: bench" in first.stderr
    installed = json.loads(first.stdout)["installed"]
    assert installed["torch"] == "2.13.0+cpu"  # the CPU build before the newer 9.0
    assert "checker" not in installed
    assert "extras: bench dev" in repository.run("test").stderr
    assert repository.run("bench").stderr == ""
    assert {"checker", "torch"} <= repository.told("list")["installed"].keys()


def test_bench_leaves_the_pytorch_that_is_there(repository):
    repository.add_wheel("torch", "2.5", ["torch.py"])
    assert repository.told("bench")["installed"]["torch"] == "2.5"


def test_a_bucket_brings_what_reads_it(repository):
    away = repository.told("tpu", "a", "--workdir", "gs://mine/a")
    assert "storage" not in away["installed"]
    here = repository.told("train", "a", "--workdir=gs://mine/a")
    assert "storage" in here["installed"]


def test_a_package_that_was_written_half_is_not_taken_for_installed(repository):
    project = repository.root / "pyproject.toml"
    project.write_text(repository.pyproject.replace('"plain"', '"plain", "big"'))
    package = next(repository.venv.glob("lib/python*/site-packages")) / "big"
    process = repository.start("list")
    repository.wait_for(package)
    os.killpg(process.pid, signal.SIGKILL)
    repository.finish(process)
    assert len(list(package.iterdir())) < repository.many  # else killed too late
    again = repository.run("list")
    assert "cut short" in again.stderr
    assert len(list(package.iterdir())) == repository.many
    assert repository.run("list").stderr == ""


@pytest.mark.parametrize(("sent", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_stopped_before_a_file_was_touched_leaves_the_environment_good(
    repository, sent, code
):
    (repository.root / "hold").touch()
    process = repository.start("test")
    repository.wait_for(repository.root / "building")
    os.killpg(process.pid, signal.Signals[sent])
    stopped = repository.finish(process, seconds=20)
    assert stopped.returncode == code
    assert stopped.stderr.endswith("while installing; the next call takes it up\n")
    # No pip runs now: it would wait for the file `hold`.
    assert repository.run("list").stderr == ""
    (repository.root / "hold").unlink()
    assert "checker" in repository.told("test")["installed"]


def test_an_install_that_fails_shows_why_and_keeps_what_there_was(repository):
    (repository.root.parent / "empty").mkdir()
    nowhere = (repository.root.parent / "empty").as_uri()
    result = repository.run("test", PIP_FIND_LINKS=nowhere)
    assert result.returncode == 1
    assert "No matching distribution found" in result.stderr
    assert repository.run("list", PIP_FIND_LINKS=nowhere).stderr == ""


@pytest.mark.parametrize("without", ["nothing", "flock"])
def test_two_at_once_install_once(repository, tmp_path, without):
    path = repository.path_without(without, tmp_path)
    (repository.root / "hold").touch()
    both = [repository.start("test", PATH=path)]
    repository.wait_for(repository.root / "building")
    both.append(repository.start("test", PATH=path))
    waiting = both[1].stderr.readline()
    (repository.root / "hold").unlink()
    results = [repository.finish(process) for process in both]
    assert [result.returncode for result in results] == [0, 0]
    assert waiting.endswith("waiting for another launch/run that installs into .venv\n")
    assert results[0].stderr.count("installing for") == 1
    assert results[1].stderr == ""


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not installed")
def test_uv_installs_where_there_is_one(repository, tmp_path):
    shutil.rmtree(repository.venv)
    (tmp_path / "uv").symlink_to(str(shutil.which("uv")))
    path = f"{tmp_path}:{repository.environment['PATH']}"
    told = repository.told("test", PATH=path)
    assert told["installed"] == {"plain": "1.0", "checker": "1.0", "small": "1.0"}
    # Without uv the same .venv has no pip: it is made again.
    (repository.root / "pyproject.toml").write_text(
        repository.pyproject + "\n# changed\n"
    )
    assert "pip" in repository.told("test")["installed"]
