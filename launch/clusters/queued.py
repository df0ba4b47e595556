"""A TPU slice by a queued resource: the commands that make it, and train on it."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from launch.ahead.targets import Target
from launch.clusters import tools
from launch.clusters.sources import Code
from research.errors import UserError

RUNTIMES = {  # of tpu-vm, Cloud TPU's table of software versions
    "v4": "tpu-ubuntu2204-base",
    "v5e": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}
FAMILIES = {"v5e": "v5litepod"}  # the rest are called as we do
FOLDER = "gan-lstm-lab"  # the code's, on each worker
# Google's images of Ubuntu 22.04 have Python 3.10: uv, with which `launch/run` then
# installs, fetches a newer one. Later Ubuntus' pip asks for the variable.
BIN = 'PATH="$HOME/.local/bin:$PATH"'
UV = (
    f"{BIN}; command -v uv >/dev/null || {{ "
    "python3 -m pip --version >/dev/null 2>&1 || "
    "{ sudo apt-get -qq update && sudo apt-get -qq install -y python3-pip; }; "
    "PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv; }"
)


class Slice(NamedTuple):
    """What is asked of Google."""

    name: str
    target: Target
    zone: str
    project: str | None
    spot: bool
    code: str  # "git" or "archive"

    @property
    def accelerator_type(self) -> str:
        family, _, size = self.target.name.partition("-")
        return f"{FAMILIES.get(family, family)}-{size}"


def refuse_wrong(place: Slice, workdir: str) -> None:
    """Raises UserError for what no slice could do."""
    if place.target.chip.name not in RUNTIMES:
        also = " (v7x: `launch/run gke`)" if place.target.chip.name == "v7x" else ""
        raise UserError(
            f"--target {place.target.name} is not had by queued resources{also}; "
            f"v4, v5e, v5p and v6e are"
        )
    tools.refuse_disk(workdir, "slice")
    if place.code not in ("git", "archive"):
        raise UserError(f"--code {place.code}: it must be git or archive")
    tools.checked_name(place.name)
    tools.checked_word("--zone", place.zone)
    if place.project is not None:
        tools.checked_word("--project", place.project)


# --- the commands -----------------------------------------------------------------


def create(place: Slice) -> list[str]:
    """Asks for the slice."""
    return [
        *_queued("create", place),
        f"--node-id={place.name}",
        f"--accelerator-type={place.accelerator_type}",
        f"--runtime-version={RUNTIMES[place.target.chip.name]}",
        *(["--spot"] if place.spot else []),
        "--quiet",
    ]


def describe(place: Slice) -> list[str]:
    """Tells the request's state in a word."""
    return [*_queued("describe", place), "--format=value(state.state)"]


def delete(place: Slice) -> list[str]:
    """Gives the slice and the request back."""
    return [*_queued("delete", place), "--force", "--quiet"]


def ssh(place: Slice, command: str) -> list[str]:
    """Runs a shell command on every worker at once."""
    return [
        *("gcloud", "compute", "tpus", "tpu-vm", "ssh", place.name),
        *_where(place),
        "--worker=all",
        "--quiet",
        f"--command={command}",
    ]


def copy(place: Slice, file: Path) -> list[str]:
    """Copies a file into every worker's home."""
    return [
        *("gcloud", "compute", "tpus", "tpu-vm", "scp", str(file)),
        f"{place.name}:{FOLDER}.tar.gz",
        *_where(place),
        "--worker=all",
        "--quiet",
    ]


def ship(place: Slice, code: Code) -> Iterator[list[str]]:
    """Brings the code, and what installs its packages, to every worker."""
    yield ssh(place, UV)
    if isinstance(code, Path):
        yield copy(place, code)
        yield ssh(place, f"mkdir -p {FOLDER} && tar -xzf {FOLDER}.tar.gz -C {FOLDER}")
        return
    address, commit = code
    yield ssh(
        place,
        f"test -d {FOLDER}/.git || git clone --quiet {shlex.quote(address)} {FOLDER}; "
        f"cd {FOLDER} && git fetch --quiet && git checkout --quiet {commit}",
    )


def train(place: Slice, arguments: list[str]) -> list[str]:
    """Trains on every worker; its output comes back line by line."""
    words = shlex.join(["launch/run", "train", *arguments])
    several = "LAUNCH_DISTRIBUTED=tpu " if place.target.hosts > 1 else ""
    # A TPU that does not start is an error, and no reason to train on the CPU.
    tpu = "LAUNCH_ACCELERATOR=tpu JAX_PLATFORMS=tpu,cpu"
    return ssh(place, f"cd {FOLDER} && {BIN} {several}{tpu} {words}")


def _queued(verb: str, place: Slice) -> list[str]:
    words = ["gcloud", "compute", "tpus", "queued-resources", verb, place.name]
    return [*words, *_where(place)]


def _where(place: Slice) -> list[str]:
    project = [f"--project={place.project}"] if place.project else []
    return [f"--zone={place.zone}", *project]


def commands(place: Slice, code: Code, arguments: list[str]) -> Iterator[list[str]]:
    """Everything that a run without a mishap would call, in order."""
    yield create(place)
    yield describe(place)
    yield from ship(place, code)
    yield train(place, arguments)
    yield delete(place)
