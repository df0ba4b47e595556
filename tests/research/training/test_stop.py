"""Ending in good order, with real signals to this very process."""

import os
import signal

import pytest

from research.training.stop import listening


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
def test_a_second_ctrl_c_ends_at_once(first):
    with listening() as stop:
        send(first)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        assert stop.reason is not None


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
