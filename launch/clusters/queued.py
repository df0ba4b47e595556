"""A TPU slice by a queued resource: made, given the code, trained on, made again.

Google takes a spot slice back when it likes, and a worker may be lost. Training goes on
from the bucket's last checkpoint, on a new slice, until it is done.
"""

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from launch.ahead.targets import Target
from launch.clusters import tools
from research.errors import UserError
from research.training.stop import PREEMPTED

POLL = 20.0  # seconds between looks at a request
RUNTIMES = {  # of tpu-vm, Cloud TPU's table of software versions
    "v4": "tpu-ubuntu2204-base",
    "v5e": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}
FAMILIES = {"v5e": "v5litepod"}  # the rest are called as we do
WAITING = ("WAITING_FOR_RESOURCES", "ACCEPTED", "PROVISIONING", "CREATING", "")
LOST = 255  # ssh's code when the worker is gone
FOLDER = "gan-lstm-lab"  # the code's, on each worker


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
    if not workdir.startswith("gs://"):
        raise UserError(
            f"--workdir {shlex.quote(workdir)}: a slice may be taken away with its "
            f"disks; give a bucket, gs://BUCKET/FOLDER"
        )
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


def ship(place: Slice, archive: Path) -> Iterator[list[str]]:
    """Brings the code to every worker."""
    if place.code == "archive":
        yield copy(place, archive)
        yield ssh(place, f"mkdir -p {FOLDER} && tar -xzf {FOLDER}.tar.gz -C {FOLDER}")
        return
    address, commit = checkout()
    yield ssh(
        place,
        f"test -d {FOLDER}/.git || git clone --quiet {shlex.quote(address)} {FOLDER}; "
        f"cd {FOLDER} && git fetch --quiet && git checkout --quiet {commit}",
    )


def train(place: Slice, arguments: list[str]) -> list[str]:
    """Trains on every worker; its output comes back line by line."""
    words = shlex.join(["launch/run", "train", *arguments])
    several = "LAUNCH_DISTRIBUTED=tpu " if place.target.hosts > 1 else ""
    return ssh(place, f"cd {FOLDER} && {several}LAUNCH_ACCELERATOR=tpu {words}")


def _queued(verb: str, place: Slice) -> list[str]:
    words = ["gcloud", "compute", "tpus", "queued-resources", verb, place.name]
    return [*words, *_where(place)]


def _where(place: Slice) -> list[str]:
    project = [f"--project={place.project}"] if place.project else []
    return [f"--zone={place.zone}", *project]


# --- the code ---------------------------------------------------------------------


def checkout(otherwise: str = "ship it with --code archive") -> tuple[str, str]:
    """The address of this repository and the commit, which must be there.

    Args:
      otherwise: the other way to bring the code, for the errors.

    Raises:
      UserError: no address, or changes that no commit holds.
    """
    git = ["git", "-C", str(tools.ROOT)]
    if tools.output([*git, "status", "--porcelain"]):
        raise UserError(
            f"the working tree has changes that no commit holds: commit and push them, "
            f"or {otherwise}"
        )
    if "origin" not in tools.output([*git, "remote"]).splitlines():
        raise UserError(
            f"this repository has no remote `origin` to clone it from: push it "
            f"somewhere, or {otherwise}"
        )
    address = tools.output([*git, "remote", "get-url", "origin"])
    commit = tools.output([*git, "rev-parse", "HEAD"])
    if not tools.output([*git, "branch", "--remotes", "--contains", commit]):
        raise UserError(f"commit {commit[:9]} is not pushed: push it, or {otherwise}")
    return address, commit


def pack(file: Path) -> None:
    """Writes the working tree, uncommitted changes too, without what git ignores."""
    git = ["git", "-C", str(tools.ROOT), "ls-files", "-z", "--cached", "--others"]
    names = tools.output([*git, "--exclude-standard"]).strip("\0")
    there = [n for n in names.split("\0") if (tools.ROOT / n).is_file()]
    command = ["tar", "-czf", str(file), "-C", str(tools.ROOT), "--null", "-T", "-"]
    subprocess.run(command, input="\0".join(there), text=True, check=True)


# --- until it is done --------------------------------------------------------------


def commands(place: Slice, arguments: list[str]) -> Iterator[list[str]]:
    """Everything that a run without a mishap would call, in order."""
    yield create(place)
    yield describe(place)
    yield from ship(place, Path(f"{FOLDER}.tar.gz"))
    yield train(place, arguments)
    yield delete(place)


def run(
    place: Slice,
    arguments: list[str],
    say: Callable[[str], None] = print,
    poll: float = POLL,
) -> int:
    """Trains until it is done; train's own exit code. The slice stays.

    Raises:
      UserError: Google refuses the request. Nothing is left of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "code.tar.gz"
        if place.code == "archive":
            pack(archive)
        while True:
            _bring_up(place, say, poll)
            code = _on_slice(place, archive, arguments, say)
            if code == PREEMPTED:
                say("stopped and saved: it goes on")
            elif code in (0, 2, 3, 130) or state(place) == "ACTIVE":
                return code
            else:
                say(f"the slice was lost (code {code}): asking for a new one")
            if state(place) != "ACTIVE":
                _call(delete(place), say)


def _bring_up(place: Slice, say: Callable[[str], None], poll: float) -> None:
    if state(place) == "ACTIVE":
        return
    say(shlex.join(create(place)))
    tools.output(create(place))
    told = None
    while (now := state(place)) != "ACTIVE":
        if now not in WAITING:
            _call(delete(place), say)
            raise UserError(
                f"the request for {place.target.name} ended as {now}: another --zone "
                f"may have one; nothing is left of the request"
            )
        if now != told:
            say(f"{place.name}: {now or 'asked for'}")
            told = now
        time.sleep(poll)


def _on_slice(
    place: Slice, archive: Path, arguments: list[str], say: Callable[[str], None]
) -> int:
    for command in ship(place, archive):
        if code := _call(command, say):
            return code
    return _call(train(place, arguments), say)


def _call(command: list[str], say: Callable[[str], None]) -> int:
    """Runs with its output shown as it comes."""
    say(shlex.join(command))
    sys.stdout.flush()
    return subprocess.run(command).returncode


def state(place: Slice) -> str:
    """The request's state; "NONE" where there is none."""
    try:
        return tools.output(describe(place)).strip()
    except tools.ToolError as error:
        if "NOT_FOUND" in error.text or "not found" in error.text:
            return "NONE"
        raise
