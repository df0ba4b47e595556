"""What a run was made with: commit, versions, device, command."""

import datetime
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from kernels.conv_transpose import native
from kernels.native import build

ROOT = Path(__file__).parents[2]
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def stamp() -> dict[str, Any]:
    """Commit and whether the tree differs from it, versions, devices, command."""
    commit = _git("rev-parse", "HEAD")
    return {
        "commit": commit,
        "dirty": bool(commit and _git("status", "--porcelain")),
        "command": " ".join(["python -m launch", *sys.argv[1:]]),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "device": _device_name(),
        "devices": jax.device_count(),
        "native_kernels": build.missing(native.SOURCE, native.TARGETS) or "yes",
    }


def _device_name() -> str:
    device = jax.devices()[0]
    return "CPU" if device.platform == "cpu" else device.device_kind


def _git(*arguments: str) -> str | None:
    """Output of git in the repository; None where this is not a git checkout."""
    try:
        run = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None
