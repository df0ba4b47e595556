"""Ending a run in good order: Ctrl-C and a termination notice set a flag.

The loop looks at the flag after each step, saves and ends. A second Ctrl-C ends the
process at once; what was committed before stays.
"""

import signal
import types
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "preempted"}


class StopRequest:
    """What asked the run to stop: None, "interrupted" or "preempted"."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def handle(self, number: int, frame: types.FrameType | None) -> None:
        """Notes the first signal; the second Ctrl-C raises KeyboardInterrupt."""
        del frame
        if self.reason and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.reason = self.reason or NAMES[signal.Signals(number)]


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Takes SIGINT and SIGTERM for the time of the block."""
    request = StopRequest()
    old = {number: signal.signal(number, request.handle) for number in NAMES}
    try:
        yield request
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
