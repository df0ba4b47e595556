"""While a run trains: its folder is copied to the bucket, and its lease renewed."""

import sys
import threading
import time
from collections.abc import Callable

from launch.buckets.lease import RENEW, Lease
from launch.buckets.mirror import Mirror
from research.training.stop import StartAgainError, StopRequest, end_resumable

EVERY = 30.0  # seconds between copies to the bucket
# Seconds for the last copy after a notice. With the 8 s to save before it that is less
# than the 25 to 30 s that Google gives a machine which it takes away.
LAST = 15.0


class CopyError(StartAgainError):
    """What was trained is here, and not all of it in the bucket."""


class Copies:
    """The threads that do it: renewals at once, copies from `begin` on."""

    def __init__(self, mirror: Mirror, lease: Lease, name: str):
        self._mirror, self._lease, self._name = mirror, lease, name
        self._over, self._released = threading.Event(), threading.Event()
        self._problem: Exception | None = None
        self._renews = self._start(self._renew)
        self._copies: threading.Thread | None = None

    def begin(self) -> None:
        """Copies from now on: the folder is what the bucket has, or newer."""
        self._copies = self._start(self._copy)

    def finish(self, stop: StopRequest | None) -> None:
        """Copies what is left, and gives the lease back.

        Raises:
          CopyError: it failed, or took too long after a notice.
        """
        self._over.set()
        last, until = self._start(self._end), None
        if stop is not None:
            stop.answered.set()  # what was trained is saved: the limit is ours now
        while last.is_alive():
            if until is None and stop is not None and stop.reason == "preempted":
                until = time.monotonic() + LAST
            if until is not None and time.monotonic() >= until:
                raise CopyError(
                    f"the last copy to {self._name} was not ready {LAST:.0f} s after "
                    f"the notice: the next start goes on from the one before"
                )
            last.join(0.2)
        if self._problem is not None:
            raise CopyError(
                f"{self._name} could not be written at the end "
                f"({in_a_line(self._problem)}): start again on this machine, which "
                f"has all of it, or elsewhere from the copy before"
            ) from self._problem

    def _end(self) -> None:
        try:
            if self._copies is not None:
                self._copies.join()
                self._push()
            self._released.set()
            self._renews.join()
            self._lease.release()
        except Exception as error:  # gcsfs', google-auth's and aiohttp's own
            self._problem = error
            self._released.set()

    def _copy(self) -> None:
        while not self._over.wait(EVERY):
            self._try(self._push)

    def _renew(self) -> None:
        while not self._released.wait(RENEW):
            self._try(self._renew_once)

    def _push(self) -> None:
        self._end_if_lost()
        self._mirror.push()

    def _renew_once(self) -> None:
        self._end_if_lost()
        self._lease.renew()

    def _end_if_lost(self) -> None:
        """A machine that slept, say: another run may have taken it for dead."""
        if not self._lease.is_ours():
            end_resumable(f"another run has taken {self._name} from this silent one")

    def _try(self, what: Callable[[], None]) -> None:
        """The next one tries again; a last copy that fails raises."""
        try:
            what()
        except Exception as error:  # as in `_end`
            line = in_a_line(error)
            print(f"{self._name} cannot be written just now: {line}", file=sys.stderr)

    def _start(self, what: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=what, daemon=True)
        thread.start()
        return thread


def in_a_line(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).splitlines() or [type(error).__name__])[0]
