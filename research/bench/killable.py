"""Work done part after part in a process of its own, which is killed if one hangs.

Blocks of a GPU kernel that wait for ever cannot be stopped from within their process.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

DONE, FAILED, KILLED = "done", "failed", "killed"
SECONDS_TO_GO = 30.0  # of a killed process: a driver may not let go of it at once
Work = Callable[[str], Any]


class Ended(NamedTuple):
    """What became of a part: done, or failed or killed and why; what it gave."""

    part: str
    state: str
    value: Any = None


def each(
    work: Work, parts: Iterable[str], limit: Callable[[str], float], end: float
) -> Iterator[Ended]:
    """`work` of each part, in the order; a part that the end cuts off is left out.

    Args:
      work: a function of a module, which the process imports.
      limit: seconds that a part may take.
      end: when all is over, by time.monotonic().
    """
    worker = None
    try:
        for part in parts:
            left = end - time.monotonic()
            if left <= 0:
                return
            worker = worker or Worker(work)
            ended = worker.done(part, min(left, limit(part)))
            if ended is None and left < limit(part):
                return
            ended = ended or Ended(
                part, f"{KILLED}: it had not ended after {limit(part):.0f} s"
            )
            if ended.state != DONE:
                worker.kill()
                worker = None
            yield ended
    finally:
        if worker is not None:
            worker.kill()


class Worker:
    """A fresh process, which takes parts until it is killed."""

    def __init__(self, work: Work) -> None:
        processes = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self.pipe, theirs = processes.Pipe()
        self.process = processes.Process(target=serve, args=(work, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def done(self, part: str, limit: float) -> Ended | None:
        """None if it has not ended within `limit` seconds."""
        try:
            self.pipe.send(part)
            return self.pipe.recv() if self.pipe.poll(limit) else None
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            return Ended(part, f"{FAILED}: its process ended with code {code}")

    def kill(self) -> None:
        """With whatever it has started."""
        assert self.process.pid is not None  # of group 0 we are ourselves
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join(SECONDS_TO_GO)
        self.pipe.close()


def serve(work: Work, pipe: Connection) -> None:
    """The process: a leader of a group, so that all of it can be killed."""
    os.setpgrp()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        part = pipe.recv()
        try:
            pipe.send(Ended(part, DONE, work(part)))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            pipe.send(Ended(part, f"{FAILED}: {reason}"))


def _end_with_parent() -> None:
    """All of the group: who is ended by a signal kills nobody, and a GPU stays held."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)
