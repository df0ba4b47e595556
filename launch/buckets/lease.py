"""Which run may write to a bucket's folder: one at a time.

A bucket has no lock that dies with its owner. A file there names the run that writes,
which renews it; one that is not renewed any more has lost it. So a job that was killed
without a goodbye does not lock itself out: its next start waits for a minute.
"""

import json
import socket
import sys
import time
from typing import Any

from launch.buckets.mirror import LEASE, Mirror
from research.errors import UserError
from research.training.stop import StopRequest

RENEW = 10.0  # seconds from one renewal to the next
STALE = 60.0  # seconds without one, as seen from here, that end a lease
# Seconds to wait for a holder that is alive: it may be this job's last start, which has
# up to two minutes to end on Kubernetes and SLURM.
PATIENCE = 300.0
# Of two that find it free the later one has written by then, and both read its name.
SETTLE = 2.0
SLOW = SETTLE / 2  # seconds of a write, after which that is not so
LOOK = 1.0


class Lease:
    """The lease of one workdir."""

    def __init__(self, mirror: Mirror, name: str, run: str):
        """Args:
        mirror: of the workdir.
        name: its address, for messages.
        run: who takes it: the same after a restart in the same folder here.
        """
        self._files, self._path = mirror.files, mirror.path(LEASE)
        self._name, self._run, self._host = name, run, socket.gethostname()

    def take(self, stop: StopRequest | None = None) -> str | None:
        """Takes the lease, and waits for it where need be; who had it before, if any.

        Raises:
          UserError: another run goes on writing.
          KeyboardInterrupt: `stop` was told so meanwhile.
        """
        began = since = time.monotonic()
        seen, told = self._read(), False
        while True:
            now = time.monotonic()
            if self._is_free(seen) or now - since >= STALE:
                self.renew()
                took = time.monotonic() - now
                # A late write fell upon the name of one that has begun, which sees that
                # at its next renewal and ends, or has renewed and is seen here.
                time.sleep(SETTLE if took <= SLOW else RENEW + SETTLE)
                if self.is_ours():
                    return None if seen is None else seen["run"]
            if now - began >= PATIENCE:
                raise UserError(
                    f"another run is writing to {self._name}, on {_host(seen)}: wait "
                    f"for its end, or give another --workdir"
                )
            if not told:
                told = True
                print(
                    f"{self._name}: waits for the run on {_host(seen)}, which writes "
                    f"there, or was killed within the last {STALE:.0f} s",
                    file=sys.stderr,
                )
            if stop is not None and stop.reason == "interrupted":
                raise KeyboardInterrupt
            time.sleep(LOOK)
            found = self._read()
            if found != seen:
                seen, since = found, time.monotonic()

    def is_ours(self) -> bool:
        """Whether the bucket names no other run; one that a person deleted is ours."""
        found = self._read()
        return found is None or found["run"] == self._run

    def renew(self) -> None:
        """Writes that this run is alive."""
        self._write(over=False)

    def release(self) -> None:
        """Gives the lease back, if no other run has it now.

        The file stays: it tells whose files are there.
        """
        if self.is_ours():
            self._write(over=True)

    def _write(self, over: bool) -> None:
        about = {"run": self._run, "host": self._host, "time": time.time()}
        self._files.pipe_file(self._path, json.dumps(about | {"over": over}).encode())

    def _read(self) -> dict[str, Any] | None:
        try:
            return json.loads(self._files.cat_file(self._path))
        except FileNotFoundError:
            return None

    def _is_free(self, found: dict[str, Any] | None) -> bool:
        """Whether nobody holds it, or a run in this very folder, which is dead."""
        if found is None or found.get("over"):
            return True
        return (found["run"], found["host"]) == (self._run, self._host)


def _host(found: dict[str, Any] | None) -> str:
    return "another machine" if found is None else found["host"]
