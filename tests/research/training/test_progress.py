"""The bar of a run, on a terminal of the system's own."""

import contextlib
import os
import pty
import re
import sys
import time

from research.training.progress import RunProgress


def all_of(terminal):
    """What was written; a single read may give a part of it."""
    shown = b""
    with contextlib.suppress(OSError):  # the other side is closed: the end, on Linux
        while part := os.read(terminal, 65_536):
            shown += part
    return shown.decode()


def test_a_terminal_shows_loss_speed_time_left_and_memory(monkeypatch):
    ours, its = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with os.fdopen(its, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        with RunProgress("seed_gan", 9) as progress:
            for step in range(1, 5):
                progress.update(step, 2.5, {"generator_loss": 0.693, "logit": 7.0})
                time.sleep(0.02)
    shown = all_of(ours)
    os.close(ours)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(
        r"seed_gan .* 4/9 2\.50 steps/s 0:00:\d\d left 0:00:\d\d "
        r"\d+\.\d GB generator 0\.693",
        shown,
    ), shown
    assert "logit" not in shown
