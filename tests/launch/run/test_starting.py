"""`launch/run` when all is there: what it hands on, and what it takes."""

import json
import shutil
import time

import pytest


def test_up_to_date_changes_nothing_and_takes_under_a_second(repository):
    before = repository.touched()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        assert repository.run("list").stderr == ""
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 1
    assert repository.touched() == before


def test_arguments_pass_exactly_from_any_directory_and_through_a_link(
    repository, tmp_path
):
    arguments = ["train", "a  b", "", "it's", '"q"', "$HOME `x` \\", "*", "é\nnew"]
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "once").symlink_to("../a clone/launch/run")
    (tmp_path / "twice").symlink_to(tmp_path / "links" / "once")
    for command in (None, tmp_path / "twice"):
        told = repository.told(*arguments, command=command, cwd="/")
        assert told["arguments"] == arguments
        assert told["cwd"] == str(repository.root)
        assert told["prefix"] == str(repository.venv)


def test_exit_code_and_process_are_those_of_the_verb(repository):
    assert repository.run("exit", "85").returncode == 85
    process = repository.start("wait")
    assert json.loads(process.stdout.readline())["pid"] == process.pid
    process.stdout.readline()
    process.terminate()
    assert repository.finish(process).returncode == 85


def test_compilers_of_absent_accelerators_do_not_make_jax_look_for_them(repository):
    chip = {"LAUNCH_ACCELERATOR": "tpu"}
    assert repository.told("list", **chip)["platforms"] is None
    with_compiler = repository.told("preflight", **chip)
    assert "compiler" in with_compiler["installed"]
    assert with_compiler["platforms"] == "tpu,cpu"
    here = repository.told("list", LAUNCH_ACCELERATOR=None)
    assert here["platforms"] == "cpu"
    own = repository.told("list", JAX_PLATFORMS="cuda")
    assert own["platforms"] == "cuda"
    both = repository.run("--environment", "dev", "preflight")
    assert "extras: dev preflight" in both.stderr


@pytest.mark.parametrize(
    ("listed", "environment", "chip"),
    [
        ("GPU 0: NVIDIA H200 (UUID: GPU-1)", {}, "chip_cuda"),
        ("GPU 0: NVIDIA H200", {"LAUNCH_ACCELERATOR": "cpu"}, None),
        ("No devices found.", {"LAUNCH_ACCELERATOR": "tpu"}, "chip_tpu"),
        ("No devices found.", {"TPU_NAME": "v5e"}, "chip_tpu"),
    ],
)
def test_the_accelerator_is_found_or_overridden(
    repository, tmp_path, listed, environment, chip
):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n[ \"$1\" = -L ] && echo '{listed}'\n")
    tool.chmod(0o755)
    path = f"{tmp_path}:{repository.environment['PATH']}"
    environment = {"LAUNCH_ACCELERATOR": None} | environment
    told = repository.told("train", PATH=path, **environment)
    chips = {"chip_cuda", "chip_tpu"} & told["installed"].keys()
    assert chips == ({chip} if chip else set())
    wanted = "cpu" if environment["LAUNCH_ACCELERATOR"] == "cpu" else None
    assert told["platforms"] == wanted


def test_mistakes_are_one_line_and_exit_code_2(repository, tmp_path):
    gpu = repository.run("train", LAUNCH_ACCELERATOR="gpu")
    extra = repository.run("--environment", "docs")
    shutil.rmtree(repository.venv)
    python = repository.run("list", PATH=repository.path_without("python3", tmp_path))
    for result, words in ((gpu, "'gpu'"), (extra, "'docs'"), (python, "Python 3.11")):
        assert result.returncode == 2
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
