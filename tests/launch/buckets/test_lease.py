"""One run at a time writes to a bucket, and a killed one locks nobody out."""

import itertools
import json
import threading
import time
import types

import pytest

from launch import buckets
from launch.buckets import copies, lease
from launch.buckets.mirror import Mirror
from research.errors import UserError
from research.training import stop as stops


def test_a_run_that_was_killed_does_not_lock_its_next_start_out(remote, monkeypatch):
    monkeypatch.setattr(lease, "STALE", 0.2)
    remote.hold()  # since just now, by another machine that is gone
    began = time.monotonic()
    with buckets.training(remote.address):
        assert time.monotonic() - began >= 0.2
        assert json.loads(remote.get(".lease"))["host"] != "far"
    assert json.loads(remote.get(".lease"))["over"]


@pytest.fixture
def alive(remote):
    """Another machine's run that renews its lease."""
    over = threading.Event()

    def renew():
        while not over.wait(0.02):
            remote.hold()

    remote.hold()
    thread = threading.Thread(target=renew)
    thread.start()
    yield
    over.set()
    thread.join()


def test_a_run_that_is_alive_is_waited_for_and_then_left_alone(
    remote, alive, monkeypatch, capsys
):
    monkeypatch.setattr(lease, "STALE", 0.5)
    monkeypatch.setattr(lease, "PATIENCE", 1.0)
    told = pytest.raises(UserError, match=r"is writing to gs://mine.* on far:")
    with told, buckets.training(remote.address):
        pass
    assert json.loads(remote.get(".lease"))["run"] == "x"
    (line,) = capsys.readouterr().err.splitlines()
    assert "waits for the run on far" in line
    request = stops.StopRequest()
    request.reason = "interrupted"
    with pytest.raises(KeyboardInterrupt), buckets.training(remote.address, request):
        pass


def test_two_runs_on_one_machine(remote):
    with buckets.training(remote.address):
        told = pytest.raises(UserError, match="on this machine is writing to gs://mine")
        with told, buckets.training(remote.address):
            pass


def test_a_run_whose_lease_was_taken_writes_no_more(remote, monkeypatch):
    def end(why):  # in place of the end of this process
        raise RuntimeError(why)

    monkeypatch.setattr(copies, "end_resumable", end)
    taken = pytest.raises(copies.CopyError, match="taken gs://mine/runs/a from this")
    with taken, buckets.training(remote.address) as folder:
        (folder / "a").write_text("1")
        remote.hold()
    assert remote.names() == set()
    assert json.loads(remote.get(".lease"))["run"] == "x"


def test_a_write_that_was_slow_is_looked_at_again(remote, monkeypatch, tmp_path):
    def sleep(seconds):
        if seconds >= lease.RENEW:  # who had begun meanwhile renews its own
            remote.hold(run="other")

    looks = itertools.count(0.0, 1.5)
    clock = types.SimpleNamespace(
        monotonic=lambda: next(looks), sleep=sleep, time=time.time
    )
    monkeypatch.setattr(lease, "time", clock)
    monkeypatch.setattr(lease, "PATIENCE", 0.0)
    mine = lease.Lease(Mirror(remote.address, tmp_path), remote.address, "mine")
    with pytest.raises(UserError, match="another run is writing"):
        mine.take()
    mine.release()
    assert json.loads(remote.get(".lease"))["run"] == "other"


def test_while_it_runs_the_bucket_and_the_lease_are_kept_up_to_date(
    remote, monkeypatch
):
    monkeypatch.setattr(copies, "EVERY", 0.05)
    monkeypatch.setattr(copies, "RENEW", 0.05)
    with buckets.training(remote.address) as folder:
        first = remote.lease()
        (folder / "metrics.jsonl").write_text("{}\n")
        remote.files.rm(f"{remote.address}/.lease")  # by hand: it is written anew
        until = time.monotonic() + 20
        while "metrics.jsonl" not in remote.names() or remote.lease() in (
            None,
            first,
        ):
            assert time.monotonic() < until
            time.sleep(0.02)
