"""What a run was made with: commit and changes, versions, devices, command."""

import datetime
import hashlib
import importlib.metadata
import itertools
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax

from kernels.conv_transpose import native
from kernels.native import build
from research import parts
from research.settings import differences

ROOT = Path(__file__).parents[2]
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
LONGEST = 200_000  # characters of a diff that are kept
# Variables that change what a program computes, or how it is compiled.
VARIABLES = (
    "XLA_FLAGS",
    "LIBTPU_INIT_ARGS",
    "NATIVE_KERNELS",
    "NVIDIA_TF32_OVERRIDE",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_ENABLE_X64",
    "JAX_NUM_CPU_DEVICES",
    "JAX_PLATFORMS",
)
CODE = ("commit", "diff", "untracked", "forks")
# What a run is bit for bit the same with, beside its code and settings.
MACHINE = (
    "versions",
    "environment",
    "python",
    "device",
    "devices",
    "native_kernels",
)


def stamp(configs: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    """Commit, what the tree adds to it, versions, devices, command.

    Args:
      configs: settings of the runs, for the forks whose parts they name; those in the
        variable FORKS are recorded too.
    """
    commit = _git(ROOT, "rev-parse", "HEAD")
    changes = _changes(ROOT) if commit else {"diff": "", "untracked": {}}
    return {
        "forks": {name: _fork(folder) for name, folder in _forks(configs).items()},
        "commit": commit,
        "dirty": bool(changes["diff"] or changes["untracked"]),
        **changes,
        "command": shlex.join(["python", "-m", "launch", *sys.argv[1:]]),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "environment": {n: os.environ[n] for n in VARIABLES if n in os.environ},
        "device": _device_name(),
        "devices": jax.device_count(),
        "topology": {
            "processes": jax.process_count(),
            "devices_a_process": jax.local_device_count(),
            "cores": os.cpu_count(),
        },
        "native_kernels": build.missing(native.SOURCE, native.TARGETS) or "yes",
    }


def machine(stamp: dict[str, Any]) -> dict[str, Any]:
    """The part of a stamp that each checkpoint is saved with."""
    return {name: stamp[name] for name in MACHINE}


def differing(
    before: dict[str, Any], now: dict[str, Any], names: tuple[str, ...] = CODE + MACHINE
) -> list[str]:
    """What one stamp says and another does not, a few words each."""
    found = []
    for name in names:
        if name == "forks":
            found += _differing_forks(before.get(name) or {}, now.get(name) or {})
            continue
        for field, (old, new) in differences(
            before.get(name), now.get(name), name
        ).items():
            if name in ("diff", "untracked"):
                found.append(f"{name}: the files are not those of then")
                break
            found.append(f"{field} {old} → {new}")
    return found


def _differing_forks(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    found = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old is None or new is None:
            found.append(f"fork {name}: {'not there then' if new else 'not here now'}")
        elif old["commit"] != new["commit"]:
            found.append(f"fork {name}: commit {old['commit']} → {new['commit']}")
        elif old != new:
            found.append(f"fork {name}: the files are not those of then")
    return found


def changes_on_the_way(starts: list[dict[str, Any]]) -> list[str]:
    """What a run went on with that it had not begun with, a line a change.

    Args:
      starts: of `research.training.files.read_starts`.
    """
    found = []
    for then, now in itertools.pairwise(starts):
        changes = "; ".join(differing(then["stamp"], now["stamp"]))
        found.append(f"from step {now['step']} on: {changes}")
    return found


def _forks(configs: Iterable[dict[str, Any]]) -> dict[str, Path]:
    """Packages outside this repository that runs take parts from, and their folders."""
    named = set(os.environ.get("FORKS", "").replace(",", " ").split())
    for text in itertools.chain.from_iterable(map(_texts, configs)):
        if re.fullmatch(r"[^\W\d]\w*(\.\w+)+(:\w+)?", text):  # a part's dotted name
            named.add(text.partition(".")[0])
    folders = {name: [*parts.folders(name), None][0] for name in sorted(named)}
    return {
        name: Path(folder)
        for name, folder in folders.items()
        if folder and not Path(folder).is_relative_to(ROOT)
    }


def _texts(node: Any) -> Iterator[str]:
    """All strings in settings."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list | tuple):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _texts(inner)


def _fork(folder: Path) -> dict[str, Any]:
    """Commit and changes of a package; without git the SHA-256 of each module."""
    if commit := _git(folder, "rev-parse", "HEAD"):
        return {"commit": commit, **_changes(folder)}
    modules = sorted(folder.rglob("*.py"))
    return {"commit": None, "diff": "", "untracked": _hashes(folder, modules)}


def _changes(folder: Path) -> dict[str, Any]:
    """What a folder adds to the commit, and each new file in it with its SHA-256."""
    diff = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff", "--", ".") or ""
    if len(diff) > LONGEST:
        digest = hashlib.sha256(diff.encode()).hexdigest()
        diff = f"{diff[:LONGEST]}\n… cut; SHA-256 of all {len(diff)}: {digest}"
    listed = _git(folder, "ls-files", "--others", "--exclude-standard", "-z") or ""
    new = [folder / name for name in listed.split("\0") if name]
    return {"diff": diff, "untracked": _hashes(folder, new)}


def _hashes(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def _device_name() -> str:
    device = jax.devices()[0]
    return "CPU" if device.platform == "cpu" else device.device_kind


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of git in a folder; None where this is not in a git checkout."""
    # A container's user is often not the owner of the checkout.
    git = ["git", "-c", "safe.directory=*", "-C", str(folder)]
    try:
        run = subprocess.run(
            [*git, *arguments], capture_output=True, text=True, errors="replace"
        )
    except FileNotFoundError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None
