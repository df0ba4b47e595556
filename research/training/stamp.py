"""What a run was made with: commit and changes, versions, devices, command."""

import datetime
import hashlib
import importlib.metadata
import itertools
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from kernels.conv_transpose import native
from kernels.native import build
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
CODE = ("commit", "diff", "untracked")
# What a run is bit for bit the same with, beside its code and settings.
MACHINE = (
    "versions",
    "environment",
    "python",
    "device",
    "devices",
    "native_kernels",
)


def stamp() -> dict[str, Any]:
    """Commit, what the tree adds to it, versions, devices, command."""
    commit = _git("rev-parse", "HEAD")
    changes = _changes() if commit else {"diff": "", "untracked": {}}
    return {
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
        for field, (old, new) in differences(
            before.get(name), now.get(name), name
        ).items():
            if name in ("diff", "untracked"):
                found.append(f"{name}: the files are not those of then")
                break
            found.append(f"{field} {old} → {new}")
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


def _changes() -> dict[str, Any]:
    """The diff to the commit, and each new file with its SHA-256."""
    diff = _git("diff", "HEAD", "--no-color", "--no-ext-diff") or ""
    if len(diff) > LONGEST:
        digest = hashlib.sha256(diff.encode()).hexdigest()
        diff = f"{diff[:LONGEST]}\n… cut; SHA-256 of all {len(diff)}: {digest}"
    listed = _git("ls-files", "--others", "--exclude-standard", "-z") or ""
    new = [ROOT / name for name in listed.split("\0") if name]
    hashes = {
        str(file.relative_to(ROOT)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in new
        if file.is_file()
    }
    return {"diff": diff, "untracked": hashes}


def _device_name() -> str:
    device = jax.devices()[0]
    return "CPU" if device.platform == "cpu" else device.device_kind


def _git(*arguments: str) -> str | None:
    """Output of git in the repository; None where this is not a git checkout."""
    # A container's user is often not the owner of the checkout.
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT)]
    try:
        run = subprocess.run(
            [*git, *arguments], capture_output=True, text=True, errors="replace"
        )
    except FileNotFoundError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None
