"""Calling the clusters’ own command line tools, and their errors in a line."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from launch import buckets
from research import population
from research.data import find as find_data
from research.errors import UserError
from research.experiment import members
from research.training.job import refuse_wrong, task_of

ROOT = Path(__file__).resolve().parents[2]
INSTALL = {
    "gcloud": "install the Google Cloud CLI, or look at the commands with --dry-run",
    "kubectl": "install kubectl, or keep the manifest with --out FILE",
    "sbatch": "run this on a login node of the cluster, or keep the script with --out",
    "git": "install git: this repository is read by it, however the code is sent",
}
PERMISSION = re.compile(r"PERMISSION_DENIED|[Ff]orbidden|permission|not authori[sz]ed")
QUOTA = re.compile(
    r"RESOURCE_EXHAUSTED|[Qq]uota|no more capacity|stockout", re.IGNORECASE
)


class ToolError(UserError):
    """A tool ended with an error; `text` is all that it wrote."""

    def __init__(self, message: str, text: str):
        super().__init__(message)
        self.text = text


def needed(tool: str) -> None:
    """Raises UserError where a tool is not on PATH."""
    if shutil.which(tool) is None:
        raise UserError(f"there is no `{tool}` on PATH: {INSTALL[tool]}")


def output(command: Sequence[str], given: str | None = None) -> str:
    """What a command writes.

    Raises:
      ToolError: it fails; its own words, and what would help.
    """
    needed(command[0])
    ended = subprocess.run(command, input=given, capture_output=True, text=True)
    if ended.returncode:
        text = ended.stderr.strip() or ended.stdout.strip()
        said = (text.splitlines() or [f"exit code {ended.returncode}"])[-1]
        raise ToolError(f"{shlex.join(command[:4])} …: {said}{_help(text)}", text)
    return ended.stdout.strip()


def refuse_settings(settings: Any, ranks: int | None = None) -> None:
    """Raises UserError, before anything is paid for, as `train` would without data.

    Args:
      settings: an experiment, or a comparison of several.
      ranks: devices that are asked for; None: those of this machine.
    """
    for experiment in (members(settings) or {"": settings}).values():
        for one in population.members(experiment).values():
            refuse_wrong(one, ranks)
            task_of(one, find_data(one.data, one.batch_size))


def refuse_disk(workdir: str, whose: str) -> None:
    """Raises UserError for a workdir on a disk of what may be taken away."""
    if not workdir.startswith("gs://"):
        raise UserError(
            f"--workdir {shlex.quote(workdir)}: a {whose}'s disk goes with it; give a "
            f"bucket, gs://BUCKET/FOLDER"
        )


def deliver(text: str, out: str | None, submit: Callable[[], str] | None) -> None:
    """Keeps a text in a new file and submits it, both or neither; else prints it.

    Args:
      text: the file's.
      out: its name, or None.
      submit: hands the text to a cluster and returns what is to be told.

    Raises:
      UserError: the file exists, or cannot be written, or the cluster refuses.
    """
    with kept(out) as keep:
        keep(text)
        if submit is not None:
            print(submit())
    if out is not None:
        print(out)
    elif submit is None:
        print(text, end="")


@contextmanager
def kept(out: str | None) -> Iterator[Callable[[str], object]]:
    """Yields what writes to a new file; where the block fails none is left, so that
    the same command can be given again.

    Args:
      out: its name; None: nothing is written.

    Raises:
      UserError: it exists, or cannot be written.
    """
    if out is None:
        yield lambda _: None
        return
    with _new(out) as file:
        try:
            yield lambda text: file.write(text) and file.flush()
        except BaseException:
            Path(out).unlink(missing_ok=True)
            raise


def _new(out: str) -> TextIO:
    buckets.refuse("--out", out)
    try:
        return Path(out).open("x")
    except FileExistsError:
        raise UserError(f"--out {out} exists: name a new file") from None
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror})") from None


def name_for(text: str, longest: int = 40) -> str:
    """A name that every cluster takes: small letters, digits and hyphens."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:longest].strip("-")
    return plain if plain[:1].isalpha() else f"run-{plain}".strip("-")


def checked_name(name: str) -> str:
    """A name that the user gave, if every cluster takes it.

    Raises:
      UserError: it has other characters.
    """
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", name):
        raise UserError(
            f"--name {shlex.quote(name)}: small letters, digits and hyphens, at most "
            f"40, a letter first, such as {name_for(name)}"
        )
    return name


def checked_word(option: str, value: str) -> str:
    """A value that goes into a script's header, if it has no space or control."""
    if not re.fullmatch(r"[\w.,:/=@+-]+", value):
        raise UserError(
            f"{option} {value!r}: letters, digits and . , : / = @ + - _ only"
        )
    return value


def _help(text: str) -> str:
    if QUOTA.search(text):
        return ": ask for another --zone, a smaller --target or --spot, or for quota"
    if PERMISSION.search(text):
        return ": your account may not do this; ask for the role, or log in again"
    return ""
