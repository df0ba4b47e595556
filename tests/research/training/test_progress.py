"""The bar of a run, on a terminal of the system's own."""

import os
import pty
import re
import sys
import time

from research.training.progress import RunProgress


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
        terminal.flush()
        shown = os.read(ours, 65_536).decode()
    os.close(ours)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(
        r"seed_gan .* 4/9 2\.50 steps/s 0:00:\d\d left 0:00:\d\d "
        r"\d+\.\d GB generator 0\.693",
        shown,
    ), shown
    assert "logit" not in shown
