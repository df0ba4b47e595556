"""One run over several processes, on one machine or many: jax.distributed.

All of them make the same calls on the same state and differ in their share of each
batch. The first one's workdir is the run's; the others work in folders that are thrown
away. What only the first can know, such as which checkpoint is the newest, it tells the
others; a request to stop that reaches any of them is all of theirs at the same step,
and one that has no time to answer it (all may be compiling) ends them all.
"""

import contextlib
import fcntl
import os
import pickle
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost

from research.errors import UserError
from research.training.axes import BATCH
from research.training.stop import StartAgainError, StopRequest, end_resumable

# Seconds without a sign of life after which a process is taken for dead, and the others
# are ended by jax's coordination service.
HEARTBEAT = 10
START = 300  # seconds to wait for the others at the start
FOREVER = 10**8  # three years
ENDED_IS_READ = 1.0  # seconds after which all others know it
END = 3600  # seconds that the others wait for the first one's measurements and report
SCHEDULERS = ("slurm", "tpu")  # whose variables tell a process which one it is
REASONS = (None, "interrupted", "preempted")
APART = "gan-lstm-lab-apart-"  # how a folder begins that is thrown away
FRESH = 60  # seconds within which who has made a folder will hold it
STATUS = re.compile(r"[A-Z_]+: ")  # how an error of XLA begins
ENDED = "ended"  # a key of the coordination service: one had to leave unanswered


@contextlib.contextmanager
def joined(how: str, stop: StopRequest) -> Iterator[None]:
    """This process is one of several inside the block.

    Args:
      how: "slurm" or "tpu", or as `INDEX/COUNT@HOST:PORT`, where the first listens.
      stop: of this process.

    Raises:
      UserError: `how` is none of these, or does not say where the others are.
      StartAgainError: the others are not there.
    """
    # It would swallow SIGTERM; `research.training.stop` answers it, and `Agreement`.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            **_place(how),
            initialization_timeout=START,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=END,
        )
        _end_together(stop)
        _meet()
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        line = str(error).partition("\n")[0]
        # A scheduler may have taken a machine back, or be slow to give the last one.
        raise (StartAgainError if _of_xla(error) else UserError)(
            f"the other processes of this run cannot be reached ({line}): start all "
            f"of them, within {START} s"
        ) from None
    with _losses_told():
        yield
    jax.distributed.shutdown()


@contextlib.contextmanager
def _losses_told() -> Iterator[None]:
    """Waits, after an error of XLA inside, until it is known whether a process is dead.

    A collective fails at once where a peer has died; who is dead is known after a
    while, and ends this process too. Else the error is its own.
    """
    try:
        yield
    except Exception as error:
        if _of_xla(error):
            time.sleep(2 * HEARTBEAT)
        raise


def _of_xla(error: Exception) -> bool:
    """Whether XLA says it, as of a peer that is gone.

    A call that finds it gone as it is made raises a ValueError of the same words (jax
    0.10.2): "UNKNOWN: Gloo all-reduce failed: …".
    """
    told = isinstance(error, ValueError) and STATUS.match(str(error))
    return bool(told) or isinstance(error, jax.errors.JaxRuntimeError)


def _place(how: str) -> dict[str, Any]:
    """Arguments of jax.distributed.initialize."""
    if how in SCHEDULERS:
        # All devices of the machine: under SLURM jax would take one for each task.
        return {"local_device_ids": []}
    found = re.fullmatch(r"(\d+)/(\d+)@(.+:\d+)", how)
    if found is None or int(found[1]) >= int(found[2]):
        raise UserError(
            f"LAUNCH_DISTRIBUTED is {how!r}: give slurm, tpu, or INDEX/COUNT@HOST:PORT "
            f"with INDEX from 0 to COUNT − 1, such as 0/2@127.0.0.1:7000"
        )
    return {
        "process_id": int(found[1]),
        "num_processes": int(found[2]),
        "coordinator_address": found[3],
        "cluster_detection_method": "deactivate",
    }


def _end_together(stop: StopRequest) -> None:
    """A notice that any of them cannot answer in time ends all, at once.

    Without it the others would wait for the one that is gone until HEARTBEAT is over.
    """
    client = multihost.get_jax_distributed_client()
    tells = threading.Event()

    def follow() -> None:
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # the run is over
            client.blocking_key_value_get(ENDED, FOREVER * 1000)
            if not tells.is_set():
                be_last()
                end_resumable("a notice to another process had no answer")

    def tell() -> None:
        tells.set()
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # they know it already
            client.key_value_set(ENDED, "preempted", allow_overwrite=True)
        be_last()

    def be_last() -> None:
        if is_first():  # with whom the service ends
            time.sleep(ENDED_IS_READ)

    stop.before_ending = tell
    threading.Thread(target=follow, daemon=True).start()


def _meet() -> None:
    """The first collectives, while all are here.

    They make the connections of later ones. gloo gives that 30 s (jax 0.10.2), and a
    process that is compiling its step keeps the others waiting for longer.
    """
    with _closed_stdout():  # on which gloo tells of each connection
        told(None)
        asked(None)
        agreement = Agreement()
        agreement(None)
        agreement(None)


def is_first() -> bool:
    """Whether this process is the one that leaves something."""
    return jax.process_index() == 0


@contextlib.contextmanager
def apart() -> Iterator[Path]:
    """A folder for a process that leaves nothing; its stdout is closed for good."""
    clear_left()
    with (
        tempfile.TemporaryDirectory(prefix=APART) as folder,
        _held(folder, fcntl.LOCK_EX),
        _closed_stdout(for_good=True),
    ):
        yield Path(folder)


def clear_left() -> None:
    """Removes the folders of processes that were ended at once: nobody holds them."""
    for left in Path(tempfile.gettempdir()).glob(f"{APART}*"):
        with (
            contextlib.suppress(OSError),  # it is another user's, or held
            _held(left, fcntl.LOCK_EX | fcntl.LOCK_NB),
        ):
            if time.time() - left.stat().st_mtime > FRESH:
                shutil.rmtree(left)


@contextlib.contextmanager
def _held(folder: str | Path, lock: int) -> Iterator[None]:
    """This process has the lock of a folder inside; it ends with the process."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, lock)
        yield
    finally:
        os.close(opened)


@contextlib.contextmanager
def _closed_stdout(for_good: bool = False) -> Iterator[None]:
    """Nothing is printed inside, by C++ neither."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
    yield
    sys.stdout.flush()
    if not for_good:
        os.dup2(kept, 1)
    os.close(kept)


def told(value: Any) -> Any:
    """What the first process has for `value`, bit for bit; all must ask.

    Args:
      value: of numpy arrays and Python's own types; the others' is not looked at.
    """
    if jax.process_count() == 1:
        return value
    mine = np.frombuffer(pickle.dumps(value), np.uint8) if is_first() else None
    length = np.uint32(0 if mine is None else len(mine))
    length = int(multihost_utils.broadcast_one_to_all(length))
    mine = np.zeros(length, np.uint8) if mine is None else mine
    return pickle.loads(multihost_utils.broadcast_one_to_all(mine).tobytes())


def asked(reason: str | None) -> str | None:
    """What any process was asked by now, the same on all; all must ask.

    Args:
      reason: what this process was asked.
    """
    if jax.process_count() == 1:
        return reason
    codes = multihost_utils.process_allgather(np.int32(REASONS.index(reason)))
    return REASONS[int(codes.max())]


class Agreement:
    """Whether any process was asked to stop, one call later: on all at the same one."""

    def __init__(self) -> None:
        self._asked: Any = None  # of the call before
        self._largest = jax.pmap(lambda code: jax.lax.pmax(code, BATCH), BATCH)

    def __call__(self, reason: str | None) -> str | None:
        """Takes what this process was asked; what all of them act on.

        All must call it at each step. Its collective is under way during the step.
        """
        if jax.process_count() == 1:
            return reason
        before = self._asked
        code = np.full(jax.local_device_count(), REASONS.index(reason), np.int32)
        self._asked = self._largest(code)
        if before is None:
            return None
        return REASONS[int(np.asarray(before.addressable_data(0)).ravel()[0])]
