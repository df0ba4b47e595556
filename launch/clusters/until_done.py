"""A run on a slice until it is done: asked for, trained on, and asked for again.

Google takes a spot slice back when it likes, and a worker may be lost. Training goes on
from the bucket's last checkpoint, on a new slice.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from launch.clusters import tools
from launch.clusters.queued import Slice, create, delete, describe, ship, train
from launch.clusters.sources import Code
from research.errors import UserError
from research.training.stop import PREEMPTED

POLL = 20.0  # seconds between looks at a request
WAITS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)  # seconds before each other try of a call
WAITING = ("WAITING_FOR_RESOURCES", "ACCEPTED", "PROVISIONING", "CREATING", "")
LOST = 255  # ssh's code when the worker is gone
LOOKS = 6  # after it, until the slice is taken to be there


@dataclass
class Request:
    """What is known of the request for a slice, also where `run` raises."""

    ours: bool = False  # made here; one that was there before may be another run's


def run(
    place: Slice,
    code: Code,
    arguments: list[str],
    request: Request,
    say: Callable[[str], None] = print,
    poll: float = POLL,
) -> int:
    """Trains until it is done; train's own exit code. The slice stays.

    Raises:
      UserError: Google refuses the request. Nothing is left of it, if it is ours.
    """
    say(shlex.join(describe(place)))  # again and again from now on
    while True:
        _bring_up(place, request, say, poll)
        ended = _on_slice(place, code, arguments, say)
        if ended == PREEMPTED:
            say("stopped and saved: it goes on")
        elif ended in (0, 2, 3, 130) or _is_there(place, ended, poll):
            return ended
        else:
            say(f"the slice was lost (code {ended}): asking for a new one")
        _clear(place, request, say)


def _is_there(place: Slice, ended: int, poll: float) -> bool:
    """Whether a slice has outlived what ran on it.

    Google tells of a slice that it took away a while after the connection is gone.
    """
    for look in range(LOOKS if ended == LOST else 1):
        if look:
            time.sleep(poll)
        if state(place) != "ACTIVE":
            return False
    return True


def _clear(place: Slice, request: Request, say: Callable[[str], None]) -> None:
    """Takes a request away that has lost its slice; one that waits is not this one."""
    now = state(place)
    if now == "ACTIVE":
        return
    if now != "NONE" and now not in WAITING:
        remove(place, say)
    request.ours = False


def _bring_up(
    place: Slice, request: Request, say: Callable[[str], None], poll: float
) -> None:
    """Waits for the slice, and asks for it where no request is there.

    Raises:
      UserError: the request ends without a slice.
    """
    now = state(place)
    if now == "NONE":
        _ask(place, request, say)
        now = state(place)
    told = None
    while now != "ACTIVE":
        if now not in WAITING:
            raise _ended(place, request, now, say)
        if now != told:
            say(f"{place.name}: {now or 'asked for'}")
            told = now
        time.sleep(poll)
        now = state(place)


def _ask(place: Slice, request: Request, say: Callable[[str], None]) -> None:
    say(shlex.join(create(place)))
    request.ours = True  # also where the answer is lost, or Ctrl-C comes meanwhile
    try:
        tools.output(create(place))
    except tools.ToolError as error:
        if "ALREADY_EXISTS" in error.text:  # another start came before
            request.ours = False
        raise


def _ended(
    place: Slice, request: Request, state: str, say: Callable[[str], None]
) -> UserError:
    """What to say of a request that came to nothing; ours is taken back."""
    why = f"the request for {place.target.name} ended as {state}"
    if not request.ours:
        return UserError(
            f"{why}, and was there before this run: give another --name, or delete it "
            f"with: {shlex.join(delete(place))}"
        )
    remove(place, say)
    return UserError(
        f"{why}: another --zone may have one; nothing is left of the request"
    )


def _on_slice(
    place: Slice, code: Code, arguments: list[str], say: Callable[[str], None]
) -> int:
    for command in ship(place, code):
        if ended := _call(command, say):
            return ended
    return _call(train(place, arguments), say)


def _call(command: list[str], say: Callable[[str], None]) -> int:
    """Runs with its output shown as it comes."""
    say(shlex.join(command))
    sys.stdout.flush()
    return subprocess.run(command).returncode


def state(place: Slice) -> str:
    """The request's state; "NONE" where there is none.

    Raises:
      ToolError: Google does not tell.
    """
    return _patiently(describe(place)).strip()


def remove(place: Slice, say: Callable[[str], None] = print) -> None:
    """Gives the slice and the request back, if they are there.

    Raises:
      ToolError: they may be there still.
    """
    say(shlex.join(delete(place)))
    _patiently(delete(place))


def _patiently(command: list[str]) -> str:
    """What a call writes, tried again where it fails; "NONE" of what there is not."""
    for wait in (*WAITS, None):
        try:
            return tools.output(command)
        except tools.ToolError as error:
            if "NOT_FOUND" in error.text or "not found" in error.text:
                return "NONE"
            if wait is None or tools.PERMISSION.search(error.text):
                raise
            print(f"{error}: tries again", file=sys.stderr)
        time.sleep(wait)
    raise AssertionError("the last try returns or raises")
