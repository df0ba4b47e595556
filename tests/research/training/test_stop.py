"""Ending in good order, with real signals to this very process."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from research.training.stop import listening

ROOT = Path(__file__).resolve().parents[3]


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "preempted")],
)
def test_a_signal_sets_the_reason_and_nothing_else(number, reason):
    with listening() as stop:
        assert stop.reason is None
        send(number)
        assert stop.reason == reason


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_ends_at_once(first, monkeypatch, caplog):
    monkeypatch.setattr(logging.root.manager, "disable", 0)  # and as it was after it
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with listening() as stop:
        send(first)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        assert stop.reason is not None
        logging.getLogger("absl").error("of a save that it fell upon")
    assert caplog.records == []


def test_the_first_signal_names_the_end():
    with listening() as stop:
        send(signal.SIGINT)
        send(signal.SIGTERM)
        assert stop.reason == "interrupted"


def test_the_old_handlers_come_back():
    seen = []
    old = {
        number: signal.signal(number, lambda n, frame: seen.append(n))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with listening():
            send(signal.SIGTERM)
        with pytest.raises(RuntimeError, match="inside"), listening():
            raise RuntimeError("inside")
        assert seen == []
        send(signal.SIGINT)
        send(signal.SIGTERM)
        assert seen == [signal.SIGINT, signal.SIGTERM]
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


BUSY = """
import hashlib
from research.training.stop import listening
with listening(seconds=1.0) as stop:
    print("busy", flush=True)
    # One call of C, as a compilation is: Python's handlers wait for its end.
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


def test_a_notice_that_cannot_be_answered_ends_the_process_in_time():
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], cwd=ROOT, stdout=subprocess.PIPE, stderr=-1
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"busy\n"
        began = time.monotonic()
        while process.poll() is None and time.monotonic() < began + 30:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert process.wait() == 85
        assert time.monotonic() < began + 20
        assert b"resumable" in process.stderr.read()


def test_a_notice_that_is_answered_leaves_the_process_alone():
    with listening(seconds=0.5) as stop:
        send(signal.SIGTERM)
        assert stop.reason == "preempted"
    time.sleep(0.7)


STUCK = """
import hashlib, threading, time
from launch import __main__ as launch
from research.training.stop import listening

def main(arguments):
    with listening():
        try:
            print("busy", flush=True)
            {busy}
        except KeyboardInterrupt:
            return 130

launch.main = main
launch.start(["train"])
"""
WAITS = "threading.Thread(target=time.sleep, args=(60,)).start(); time.sleep(60)"
COMPILES = 'hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)'


@pytest.mark.parametrize("busy", [WAITS, COMPILES])
def test_a_second_ctrl_c_ends_what_does_not_let_go(busy):
    """A thread that a save has left behind; Python that is in the middle of a call."""
    code = STUCK.format(busy=busy)
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=-1, stderr=-1
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"busy\n"
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        try:
            assert process.wait(timeout=20) == 130
        finally:
            process.kill()
