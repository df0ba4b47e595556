"""`launch/run` against a small repository: real environments, real pip, no network.

The small repository asks for wheels that are written here, and has a build backend of
its own, so that pip (or uv) resolves, builds and installs as it does for the real one.
PATH holds only what the script may use, so that no GPU or uv of this machine shows.
"""

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ["bash", "cat", "dirname", "find", "flock", "ls", "mkdir", "mv"]
TOOLS += ["readlink", "rm", "sleep", "tail"]
MANY = 4000  # files of one package: writing them takes long enough to be interrupted

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "small"
version = "1.0"
dependencies = ["plain"]
[project.optional-dependencies]
bench = ["torch>=2"]
cuda = ["chip-cuda"]
dev = ["checker"]
preflight = ["compiler"]
tpu = ["chip-tpu"]
"""

MAIN = """
import json, os, signal, sys
from importlib import metadata
print(json.dumps({
    "arguments": sys.argv[1:], "cwd": os.getcwd(), "pid": os.getpid(),
    "prefix": sys.prefix, "platforms": os.environ.get("JAX_PLATFORMS"),
    "installed": {d.name: d.version for d in metadata.distributions()},
}), flush=True)
if sys.argv[1:2] == ["exit"]:
    sys.exit(int(sys.argv[2]))
if sys.argv[1:2] == ["wait"]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(85))
    print("waiting", flush=True)
    signal.pause()
"""


def write_wheel(folder, name, version, files=(), requires=(), extras=()):
    info = f"{name}-{version}.dist-info"
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    wheel = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any"
    # Files are written in this order: METADATA alone makes a package look installed.
    entries = {f"{info}/METADATA": "\n".join(lines) + "\n", f"{info}/WHEEL": wheel}
    entries |= dict.fromkeys(files, "")
    entries[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in entries)
    path = Path(folder) / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in entries.items():
            archive.writestr(file, text)
    return path.name


BACKEND = f"""
import time, tomllib, zipfile
from pathlib import Path

{inspect.getsource(write_wheel)}

def build_editable(folder, config_settings=None, metadata_directory=None):
    Path("building").touch()
    while Path("hold").exists():
        time.sleep(0.01)
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    requires, extras = project["dependencies"], project["optional-dependencies"]
    for extra, names in extras.items():
        requires += [f"{{name}} ; extra == '{{extra}}'" for name in names]
    return write_wheel(folder, "small", "1.0", (), requires, extras)
"""


class Repository:
    """A repository whose `launch` tells what it was given, and its environment."""

    def __init__(self, root: Path, base: Path):
        self.root = root
        self.venv = root / ".venv"
        self.started: list[subprocess.Popen] = []
        self.environment = {
            "HOME": str(base),
            "PATH": str(base / "bin"),
            "LAUNCH_ACCELERATOR": "cpu",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": (base / "wheels").as_uri(),
            "UV_NO_CONFIG": "1",
            "UV_OFFLINE": "1",
            "UV_NO_INDEX": "1",
            "UV_FIND_LINKS": str(base / "wheels"),
            "UV_PYTHON_DOWNLOADS": "never",
        }

    def start(self, *arguments, command=None, cwd=None, **environment):
        wanted = self.environment | environment
        process = subprocess.Popen(
            [str(command or self.root / "launch" / "run"), *arguments],
            cwd=cwd or self.root.parent,
            env={key: value for key, value in wanted.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments, **options):
        return finish(self.start(*arguments, **options))

    def told(self, *arguments, **options):
        result = self.run(*arguments, **options)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[0])

    def touched(self):
        """What pip or a second install would change."""
        site = next(self.venv.glob("lib/python*/site-packages"))
        return {path: path.stat().st_mtime_ns for path in (*self.venv.iterdir(), site)}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Tools, wheels and a finished small repository, which the tests copy."""
    base = tmp_path_factory.mktemp("base")
    (base / "bin").mkdir()
    for tool in TOOLS:
        if path := shutil.which(tool):
            (base / "bin" / tool).symlink_to(path)
    (base / "bin" / "python3").symlink_to(os.path.realpath(sys.executable))
    (base / "wheels").mkdir()
    for name in ("plain", "checker", "chip_cuda", "chip_tpu", "compiler"):
        write_wheel(base / "wheels", name, "1.0", [f"{name}.py"])
    write_wheel(base / "wheels", "plain", "2.0", ["plain.py"])
    write_wheel(base / "wheels", "big", "1.0", [f"big/{i}.txt" for i in range(MANY)])
    write_wheel(base / "wheels", "torch", "2.13.0+cpu", ["torch.py"])
    write_wheel(base / "wheels", "torch", "9.0", ["torch.py"])
    root = base / "made"
    for folder in ("launch", ".ci"):
        (root / folder).mkdir(parents=True)
    shutil.copy(ROOT / "launch" / "run", root / "launch")
    (root / "launch" / "__init__.py").touch()
    (root / "launch" / "__main__.py").write_text(MAIN)
    (root / "backend.py").write_text(BACKEND)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / ".ci" / "constraints.txt").write_text("plain==1.0\n")
    first = Repository(root, base).run("first")
    assert first.returncode == 0, first.stderr
    assert "installing for cpu" in first.stderr
    (root / "building").unlink()
    # pip and setuptools are a thousand files, and the copies only read them.
    for folder in root.glob(".venv/lib/python*/site-packages/*[a-z]/"):
        shutil.move(folder, base / folder.name)
        folder.symlink_to(base / folder.name)
    return base


@pytest.fixture
def repository(base, tmp_path):
    # A background job starts with Ctrl-C ignored, and so would what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    root = tmp_path / "a clone"
    shutil.copytree(base / "made", root, symlinks=True)
    repository = Repository(root, base)
    yield repository
    signal.signal(signal.SIGINT, before)
    for process in repository.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def finish(process, seconds=60):
    out, err = process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for(path: Path):
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.001)


def test_installs_what_the_constraints_pin(repository):
    assert repository.told()["installed"]["plain"] == "1.0"  # and not the newer 2.0


def test_up_to_date_changes_nothing_and_takes_under_a_second(repository):
    before = repository.touched()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        assert repository.run("list").stderr == ""
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 1
    assert repository.touched() == before


@pytest.mark.parametrize("file", ["pyproject.toml", ".ci/constraints.txt"])
def test_a_changed_requirement_is_installed(repository, file):
    path = repository.root / file
    text = path.read_text().replace("==1.0", "==2.0")
    path.write_text(text.replace('"plain"', '"plain", "chip-tpu"'))
    installed = repository.told()["installed"]
    assert installed["plain"] == ("1.0" if file == "pyproject.toml" else "2.0")
    assert ("chip_tpu" in installed) == (file == "pyproject.toml")


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
    assert finish(process).returncode == 85


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
    site = next(repository.venv.glob("lib/python*/site-packages"))
    own = write_wheel(repository.root, "torch", "2.5", ["torch.py"])
    zipfile.ZipFile(repository.root / own).extractall(site)
    assert repository.told("bench")["installed"]["torch"] == "2.5"


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
    python = repository.run("list", PATH=path_without("python3", repository, tmp_path))
    for result, words in ((gpu, "'gpu'"), (extra, "'docs'"), (python, "Python 3.11")):
        assert result.returncode == 2
        assert words in result.stderr
        assert result.stderr.count("\n") == 1


def path_without(tool, repository, tmp_path):
    folder = tmp_path / f"no {tool}"
    shutil.copytree(repository.environment["PATH"], folder, symlinks=True)
    (folder / tool).unlink(missing_ok=True)
    return str(folder)


def test_a_package_that_was_written_half_is_not_taken_for_installed(repository):
    project = repository.root / "pyproject.toml"
    project.write_text(PYPROJECT.replace('"plain"', '"plain", "big"'))
    package = next(repository.venv.glob("lib/python*/site-packages")) / "big"
    process = repository.start("list")
    wait_for(package)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    assert len(list(package.iterdir())) < MANY  # else killed too late
    again = repository.run("list")
    assert "cut short" in again.stderr
    assert len(list(package.iterdir())) == MANY
    assert repository.run("list").stderr == ""


@pytest.mark.parametrize(("sent", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_stopped_before_a_file_was_touched_leaves_the_environment_good(
    repository, sent, code
):
    (repository.root / "hold").touch()
    process = repository.start("test")
    wait_for(repository.root / "building")
    os.killpg(process.pid, signal.Signals[sent])
    stopped = finish(process, seconds=20)
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
    path = path_without(without, repository, tmp_path)
    (repository.root / "hold").touch()
    both = [repository.start("test", PATH=path)]
    wait_for(repository.root / "building")
    both.append(repository.start("test", PATH=path))
    waiting = both[1].stderr.readline()
    (repository.root / "hold").unlink()
    results = [finish(process) for process in both]
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
    (repository.root / "pyproject.toml").write_text(PYPROJECT + "\n# changed\n")
    assert "pip" in repository.told("test")["installed"]


def test_every_package_of_the_real_repository_is_pinned_and_none_names_a_host():
    text = (ROOT / ".ci" / "constraints.txt").read_text()
    pins = [Requirement(line) for line in text.splitlines() if line[0] != "#"]
    assert all(re.fullmatch(r"==[0-9.]+", str(pin.specifier)) for pin in pins)
    assert not [pin for pin in pins if pin.url or "torch" in pin.name]
    here = [pin for pin in pins if not pin.marker or pin.marker.evaluate()]
    names = {canonical(pin.name) for pin in here}
    assert len(names) == len(here)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["dev"]
    assert closure(asked) <= names


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(requirements):
    """The names of all that pip installs for these requirements."""
    seen, waiting = set(), [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        extras = {"", *wanted.extras}
        key = (canonical(wanted.name), *sorted(extras))
        if key in seen:
            continue
        seen.add(key)
        for text in metadata.requires(wanted.name) or ():
            needed = Requirement(text)
            marker = needed.marker
            if not marker or any(marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return {name for name, *_ in seen}
