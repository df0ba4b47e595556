"""`launch/run` against a small repository: real environments, real pip, no network.

The small repository asks for wheels that are written here, and has a build backend of
its own, so that pip (or uv) resolves, builds and installs as it does for the real one.
PATH holds only what the script may use, so that no GPU or uv of this machine shows.
"""

import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
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
bucket = ["storage"]
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
        self.pyproject, self.many = PYPROJECT, MANY
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
        return self.finish(self.start(*arguments, **options))

    @staticmethod
    def finish(process, seconds=60):
        out, err = process.communicate(timeout=seconds)
        code = process.returncode
        return subprocess.CompletedProcess(process.args, code, out, err)

    @staticmethod
    def wait_for(path: Path):
        until = time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < until, f"{path} did not come"
            time.sleep(0.001)

    def path_without(self, tool, tmp_path):
        folder = tmp_path / f"no {tool}"
        shutil.copytree(self.environment["PATH"], folder, symlinks=True)
        (folder / tool).unlink(missing_ok=True)
        return str(folder)

    def add_wheel(self, name, version, files):
        """Puts a package into .venv as it is."""
        site = next(self.venv.glob("lib/python*/site-packages"))
        own = write_wheel(self.root, name, version, files)
        zipfile.ZipFile(self.root / own).extractall(site)

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
    for name in ("plain", "checker", "chip_cuda", "chip_tpu", "compiler", "storage"):
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
