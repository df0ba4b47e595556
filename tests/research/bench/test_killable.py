"""Parts in a process that is killed: one that ends, one that fails, dies and hangs."""

import functools
import signal
import subprocess
import sys
import time
from pathlib import Path

from research.bench import killable

ROOT = Path(__file__).parents[3]
STARTS = """
import functools, signal, subprocess, sys, time
from research.bench import killable
# A shell's background jobs, such as this suite may be one of, are born deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
shell = functools.partial(subprocess.check_output, shell=True, text=True)
list(killable.each(shell, sys.argv[1:], lambda _: 60.0, time.monotonic() + 60))
"""
SHELL = functools.partial(subprocess.check_output, shell=True, text=True)


def lives(pid: str) -> bool:
    shown = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True)
    return shown.stdout.strip()[:1] not in (b"", b"Z")


def test_no_part_stops_the_others(tmp_path):
    hangs = f"echo $$ > {tmp_path}/pid; exec sleep 600"
    parts = ["echo 1", hangs, "exit 3", "kill -9 $PPID", "echo 2"]
    limits, end = {hangs: 2.0}, time.monotonic() + 120
    ended = list(killable.each(SHELL, parts, lambda p: limits.get(p, 60.0), end))
    assert [e.part for e in ended] == parts
    assert [e.value for e in ended] == ["1\n", None, None, None, "2\n"]
    first, hung, failed, died, last = (e.state for e in ended)
    assert (first, last) == ("done", "done")
    assert hung == "killed: it had not ended after 2 s"
    assert failed.startswith("failed: CalledProcessError: Command 'exit 3'")
    assert died == "failed: its process ended with code -9"
    # What it had started does not go on.
    assert not lives((tmp_path / "pid").read_text().strip())


def test_what_the_end_cuts_off_is_left_for_another_time():
    soon = time.monotonic() + 0.5
    parts = ["exec sleep 600", "echo 1"]
    assert list(killable.each(SHELL, parts, lambda _: 60.0, soon)) == []


def test_no_worker_outlives_who_started_it(tmp_path):
    """What a signal ends runs no `finally`; blocks that hang would keep the GPU."""
    started = {}
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        part = f"echo $PPID $$ > {tmp_path / number.name}; exec sleep 60"
        command = [sys.executable, "-Bc", STARTS, part]
        started[number] = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT)
    pids = []
    for number, process in started.items():
        file = tmp_path / number.name
        while not (file.exists() and file.read_text().strip()):
            assert process.poll() is None
            time.sleep(0.02)
        pids += file.read_text().split()
        process.send_signal(number)
        assert process.wait() == -number
    end = time.monotonic() + 20
    while any(map(lives, pids)):
        assert time.monotonic() < end
        time.sleep(0.02)
