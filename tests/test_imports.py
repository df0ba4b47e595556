"""Imports go one way, kernels ← research ← experiments ← launch, and the root is ours.

Read from the source, so that an import inside a function counts as well.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "kernels": {"research", "experiments", "launch"},
    "research": {"experiments", "launch"},
    "experiments": {"launch"},
    "launch": set(),
}
ARRAYS = {"jax", "numpy"}
# What kernels' files of such a name may import, inside a function: developers' tools.
TOOLS = {"bench": {"torch", "flax"}, "fit": {"scipy"}}
TOP = {"README.md", "experiments", "kernels", "launch", "pyproject.toml"}
TOP |= {"research", "tests"}


class Import(NamedTuple):
    package: str  # the top-level name; "" for a relative import
    in_function: bool
    where: str


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(text: str, name: str) -> list[Import]:
    """Every import of a file, however deep."""
    return list(_imports(ast.parse(text), name, in_function=False))


def _imports(node: ast.AST, name: str, in_function: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            modules = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            modules = [child.module or "" if child.level == 0 else ""]
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _imports(child, name, in_function or function)
            continue
        for module in modules:
            yield Import(module.split(".")[0], in_function, f"{name}:{child.lineno}")


def mistakes(folder: str, text: str, name: str) -> list[str]:
    """What a file of that folder imports and may not, with the line."""
    found = []
    for package, in_function, where in imports(text, name):
        allowed = package not in FORBIDDEN[folder] | {"tensorflow"}
        if folder == "kernels":
            allowed = package in {"", "kernels"} | ARRAYS | sys.stdlib_module_names
            for kind, packages in TOOLS.items():
                if in_function and kind in Path(name).stem.split("_"):
                    allowed = allowed or package in packages
        if package == "torch":  # is not there unless somebody benches
            allowed = allowed and in_function
        if not allowed:
            found.append(f"{where} imports {package}")
    return found


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_go_one_way(folder):
    files = sources(folder)
    assert files
    found = []
    for file in files:
        found += mistakes(folder, file.read_text(), str(file.relative_to(ROOT)))
    assert found == []


@pytest.mark.parametrize(
    ("folder", "name", "text", "wrong"),
    [
        ("kernels", "kernels/a.py", "import jax.numpy, os\nfrom . import b", 0),
        ("kernels", "kernels/a.py", "def f():\n  from research import errors", 1),
        ("kernels", "kernels/a.py", "def f():\n  import torch", 1),
        ("kernels", "kernels/lstm/bench.py", "def f():\n  import torch, flax", 0),
        ("kernels", "kernels/lstm/bench.py", "import torch", 1),
        ("kernels", "kernels/a_fit.py", "def f():\n  import scipy, torch", 1),
        ("kernels", "kernels/a.py", "def f():\n  import scipy", 1),
        ("research", "research/a.py", "if True:\n  import launch.train as t", 1),
        ("research", "research/a.py", "import kernels, tensorflow_datasets", 0),
        ("experiments", "experiments/a.py", "class A:\n  from launch import x", 1),
        ("launch", "launch/a.py", "import experiments, research, kernels", 0),
        ("research", "research/bench.py", "import torch", 1),
        ("launch", "launch/a.py", "import tensorflow as tf", 1),
    ],
)
def test_the_rule_itself(folder, name, text, wrong):
    assert len(mistakes(folder, text, name)) == wrong


def test_no_test_imports_tensorflow():
    files = {str(file.relative_to(ROOT)): file.read_text() for file in sources("tests")}
    found = [found for name, text in files.items() for found in imports(text, name)]
    assert [found.where for found in found if found.package == "tensorflow"] == []


def test_every_package_of_ours_has_an_init():
    # Without it a foreign package of the same name would win, even from the root.
    for folder in FORBIDDEN:
        folders = {file.parent for file in sources(folder)}
        assert [f for f in folders if not (f / "__init__.py").is_file()] == []


def test_nothing_else_is_at_the_root():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    # A container's user is often not the owner of the checkout.
    command = ["git", "-c", "safe.directory=*", "ls-files"]
    listed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = {line.strip('"').split("/")[0] for line in listed.stdout.splitlines()}
    assert {name for name in names if name[0] != "."} == TOP
