"""One process of several, under a parent that tells how it ended.

Where one of them dies, jax's coordination service aborts the others: a stack trace and
SIGABRT, whatever Python would have done. The parent makes a line and exit code 85 of
it: all can be started again, and go on from the last checkpoint.

`python -m launch._supervised VERB …` is the child.
"""

import ctypes
import os
import signal
import subprocess
import sys
import traceback
from typing import NoReturn

from research.training.stop import PREEMPTED, end_at_once, end_by_signals

VARIABLE = "LAUNCH_DISTRIBUTED"  # how to find the others: research.training.processes
OF_CHILD = "LAUNCH_PROCESS"  # the same, for the child
# The first lines of jax's (0.10.2) that say that another process is gone.
SIGNS = (b"Polled an error from coordination service", b"distributed service detected")
SET_DEATH_SIGNAL = 1  # Linux' prctl


def is_parent() -> bool:
    """Whether this process is one of several that train, and not yet the child."""
    return VARIABLE in os.environ and OF_CHILD not in os.environ


def run(arguments: list[str]) -> int:
    """Runs a verb in a child, passes its signals on; its exit code.

    The child is in a session of its own, so that Ctrl-C reaches it once.
    """
    environment = os.environ | {OF_CHILD: os.environ[VARIABLE]}
    command = [sys.executable, "-m", "launch._supervised", *arguments]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, start_new_session=True
    ) as child:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: child.send_signal(number))
        lost = _pass_on(child)
    # srun ends its other tasks by SIGTERM when the first one has ended, this one too
    # while Python goes; its code is to be the child's.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if lost and child.returncode == -signal.SIGABRT:
        print(
            f"{arguments[0]}: another process of this run has ended, or did not come "
            f"in time; its own output says why. Start all of them again to go on from "
            f"the last checkpoint",
            file=sys.stderr,
        )
        return PREEMPTED
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _pass_on(child: subprocess.Popen) -> bool:
    """Copies the child's stderr until its end, or until it tells of a lost process."""
    assert child.stderr is not None
    lost = False
    for line in child.stderr:
        lost = lost or any(sign in line for sign in SIGNS)
        if not lost:
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
    return lost


def _child() -> NoReturn:
    """Runs a verb; ends without the goodbyes for which the others would be waited."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGKILL)  # with the parent
    end_by_signals()
    from launch.__main__ import main

    try:
        code = main(sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        code = 1
    end_at_once(code)


if __name__ == "__main__":
    _child()
