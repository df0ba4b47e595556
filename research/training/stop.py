"""Ending a run in good order: Ctrl-C and a termination notice set a flag.

The loop looks at the flag after each call, saves and ends. A second Ctrl-C ends the
process at once, and from a thread where Python or a save that it fell upon does not let
go; what was committed before stays. A notice that the loop cannot answer
in time (it is compiling, or waits for a device) ends the process from a thread: nothing
since the last checkpoint could have been saved, and the code still says: start again.
Processes that train together end together, see `research.training.processes`.
"""

import logging
import os
import signal
import socket
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from research.errors import UserError

NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "preempted"}
PREEMPTED = 85  # exit code: saved, start me again
SECONDS_TO_ANSWER = 8.0
SECONDS_TO_GO = 2.0  # after a second Ctrl-C
INTERRUPTED = 130  # exit code: as a shell says that Ctrl-C did it


class StartAgainError(UserError):
    """No mistake in what was asked for: the same command can come to a good end."""

    exit_code = PREEMPTED


class StopRequest:
    """What asked the run to stop: None, "interrupted" or "preempted"."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.answered = threading.Event()
        """Set when all is saved: what is left has a limit of its own."""
        self.before_ending: Callable[[], None] | None = None
        """Called before a thread ends the process."""

    def handle(self, number: int, frame: types.FrameType | None) -> None:
        """Notes the first signal; the second Ctrl-C raises KeyboardInterrupt."""
        del frame
        if self.reason and number == signal.SIGINT:
            _say_no_more()
            raise KeyboardInterrupt
        self.reason = self.reason or NAMES[signal.Signals(number)]


def _say_no_more() -> None:
    """What the end falls upon, such as a save, tells of it in tracebacks otherwise."""
    logging.disable()
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None


@contextmanager
def listening(seconds: float = SECONDS_TO_ANSWER) -> Iterator[StopRequest]:
    """Takes SIGINT and SIGTERM for the time of the block.

    Args:
      seconds: after SIGTERM the process is ended if the block is not over by then, or
        the request answered.
    """
    request = StopRequest()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    given = (request, receiver, seconds)
    watch = threading.Thread(target=_watch, args=given, daemon=True)
    watch.start()
    # Written to by the C handler, even while Python's must wait for a compilation.
    old_descriptor = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    old = {number: signal.signal(number, request.handle) for number in NAMES}
    try:
        yield request
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(old_descriptor)
        request.answered.set()
        sender.close()
        watch.join()
        receiver.close()


def _watch(request: StopRequest, receiver: socket.socket, seconds: float) -> None:
    """Ends the process if a notice, or a second Ctrl-C, is not answered in time."""
    signals = 0
    while received := receiver.recv(1):
        signals += 1
        notice = received[0] == signal.SIGTERM
        if not notice and signals == 1:
            continue
        if request.answered.wait(seconds if notice else SECONDS_TO_GO):
            continue
        if request.before_ending is not None:
            request.before_ending()
        if notice:
            end_resumable("no answer to the notice")
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)


def end_by_signals() -> None:
    """Before `listening` and after it: nothing is begun, or all is saved."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(PREEMPTED))
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def end_at_once(code: int) -> NoReturn:
    """Ends this process without Python's goodbyes, which wait for threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def end_resumable(why: str) -> NoReturn:
    """Ends this process at once, from any thread, with the code for: start again."""
    print(f"{why}: ended, resumable", file=sys.stderr, flush=True)
    os._exit(PREEMPTED)
