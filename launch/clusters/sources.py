"""The code that is sent to a cluster: a pushed commit, or the working tree."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launch.clusters import tools
from research.errors import UserError

# An archive's file, or the address and the commit of a repository.
Code = Path | tuple[str, str]


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


@contextmanager
def packed(how: str) -> Iterator[Code]:
    """The code as it is now: each slice that a run asks for gets the same.

    Args:
      how: "git" or "archive".

    Raises:
      UserError: a commit that cannot be cloned.
    """
    if how == "git":
        yield checkout()
        return
    with tempfile.TemporaryDirectory() as folder:
        pack(Path(folder) / "code.tar.gz")
        yield Path(folder) / "code.tar.gz"


def pack(file: Path) -> None:
    """Writes the working tree, uncommitted changes too, without what git ignores."""
    git = ["git", "-C", str(tools.ROOT), "ls-files", "-z", "--cached", "--others"]
    names = tools.output([*git, "--exclude-standard"]).strip("\0")
    there = [n for n in names.split("\0") if (tools.ROOT / n).is_file()]
    command = ["tar", "-czf", str(file), "-C", str(tools.ROOT), "--null", "-T", "-"]
    subprocess.run(command, input="\0".join(there), text=True, check=True)
