"""Workdirs on a bucket: gs:// by fsspec, with a store in memory behind it."""

import errno
import json
import pwd
import shutil
import signal
import threading
import time

import pytest

from launch import buckets
from launch.__main__ import main
from launch.buckets import copies, folder, lease
from research.errors import UserError
from research.training import stop as stops


def test_a_run_on_a_bucket_goes_on_on_another_machine(
    launch, lstm_run, remote, monkeypatch, tmp_path
):
    monkeypatch.setitem(launch._environment, "XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole, _ = lstm_run
    with buckets.training(remote.address) as folder:  # of a run that was taken away
        later = shutil.ignore_patterns("36", "40", "summary.json", "report.html")
        shutil.copytree(whole, folder, ignore=later, dirs_exist_ok=True)
    kept = remote.names()
    assert {n for n in kept if n.endswith(".whole")} == {"checkpoints/32.whole"}
    assert ".lock" not in kept
    remote.forget()
    code, out, error = launch.within("train", *launch.LSTM, "--workdir", remote.address)
    assert code == 0, error
    assert "continues at step 32" in out
    assert json.loads(remote.get("summary.json"))["verdict"] == "done"
    lines = remote.get("metrics.jsonl").splitlines()
    logged = [line["step"] for line in map(json.loads, lines) if "loss" in line]
    assert logged == list(range(1, 41))
    assert "report.html" in remote.names()
    # The same numbers as a run that was never stopped, on a disk.
    remote.forget()
    ours = buckets.reading(remote.address)
    assert launch.hashes(ours)[40] == launch.hashes(whole)[40]
    # All that reads a run reads it there; the page comes to the copy here.
    for verb in ("inspect", "evaluate", "report"):
        code, out, error = launch.within(verb, remote.address)
        assert code == 0, error
        assert "seed_lstm" in out
    assert out.splitlines()[-1] == f"report: {ours / 'report.html'}"


def test_a_reader_sees_what_is_there_now_and_leaves_a_run_beside_it_alone(remote):
    with buckets.training(remote.address) as live:
        (live / "metrics.jsonl").write_text("1\n")
        (live / "checkpoints" / "1").mkdir(parents=True)
        (live / "checkpoints" / "1" / "data").write_text("1")
    with buckets.training(remote.address) as live:
        (live / "metrics.jsonl").write_text("1\n2\n")  # not copied yet
        found = buckets.reading(remote.address)
        assert (live / "metrics.jsonl").read_text() == "1\n2\n"
        assert (found / "metrics.jsonl").read_text() == "1\n"
        assert (found / "checkpoints" / "1" / "data").exists()
        (found / "report.html").write_text("made by the reader")
        before = (found / "metrics.jsonl").stat().st_mtime_ns
        buckets.reading(remote.address)
        assert (found / "metrics.jsonl").stat().st_mtime_ns == before  # the same
        remote.put("metrics.jsonl", "9\n")  # as long
        shutil.rmtree(live / "checkpoints" / "1")
        remote.files.rm(f"{remote.address}/checkpoints", recursive=True)
        assert buckets.reading(remote.address) == found
    assert (found / "metrics.jsonl").read_text() == "9\n"
    assert {p.name for p in found.iterdir()} == {"metrics.jsonl", "report.html"}


def test_a_restart_keeps_what_is_newer(remote, tmp_path):
    with buckets.training(remote.address) as live:
        (live / "metrics.jsonl").write_text("1\n")
    # Killed after more lines and a checkpoint that were not copied.
    (live / "metrics.jsonl").write_text("1\n2\n")
    (live / "checkpoints" / "2").mkdir(parents=True)
    (live / "checkpoints" / "2" / "data").write_text("x")
    remote.hold(
        json.loads(remote.get(".lease"))["run"], host=lease.socket.gethostname()
    )
    with buckets.training(remote.address) as again:
        assert (again / "metrics.jsonl").read_text() == "1\n2\n"
        assert (again / "checkpoints" / "2" / "data").exists()
    assert remote.get("metrics.jsonl") == "1\n2\n"
    # Another machine has gone on since: what is left here is of the past.
    remote.hold(over=True)
    remote.put("metrics.jsonl", "1\n2\n3\n")
    remote.files.rm(f"{remote.address}/checkpoints", recursive=True)
    with buckets.training(remote.address) as later:
        assert [p.name for p in later.iterdir()] == ["metrics.jsonl"]
        assert (later / "metrics.jsonl").read_text() == "1\n2\n3\n"


def test_a_mistake_in_a_run_is_told_also_where_the_last_copy_fails(
    remote, monkeypatch, capsys
):
    def refuse():
        raise OSError("connection reset")

    monkeypatch.setattr(remote.bucket, "before", staticmethod(refuse))
    told = pytest.raises(UserError, match="a mistake")
    with told as found, buckets.training(remote.address) as place:
        (place / "metrics.jsonl").write_text("1")
        raise UserError("a mistake")
    assert found.value.exit_code == 2
    assert "could not be written at the end (conn" in capsys.readouterr().err


def test_a_notice_while_a_sweep_waits_for_its_bucket(remote, monkeypatch, capsys):
    def refuse(*_):
        raise RuntimeError("nobody listens")

    def take(self, stop=None):
        signal.raise_signal(signal.SIGTERM)
        return real(self, stop)

    real = lease.Lease.take
    monkeypatch.setattr(lease.Lease, "take", take)
    monkeypatch.setattr(stops, "end_resumable", print)  # where 8 s are not enough
    before = signal.signal(signal.SIGTERM, refuse)
    try:
        command = ["sweep", "seed_lstm", "--seeds", "2", "--workdir", remote.address]
        assert main(command) == 85
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "preempted, saved; go on with" in capsys.readouterr().out


def test_a_folder_that_is_not_whole_is_not_copied_back(remote, monkeypatch):
    monkeypatch.setattr(copies, "RENEW", 0.02)
    for name in ("checkpoints/4/data", "checkpoints/4.whole"):
        remote.put(name, "4")
    leases = []

    def refuse(*_, **__):
        for _ in range(2):  # a long reading, that keeps its lease
            leases.append(remote.get(".lease"))
            time.sleep(0.2)
        raise OSError("connection reset")

    monkeypatch.setattr(remote.bucket, "get_file", refuse)
    with pytest.raises(UserError, match="reset"), buckets.training(remote.address):
        pass
    assert leases[0] != leases[1]
    assert remote.names() == {"checkpoints/4/data", "checkpoints/4.whole"}
    assert json.loads(remote.get(".lease"))["over"]


def test_after_a_notice_the_last_copy_has_a_limit_of_its_own(remote, monkeypatch):
    def train(text, limit, before):
        monkeypatch.setattr(copies, "LAST", limit)
        with stops.listening(seconds=60.0) as request:  # then this process would end
            wait = staticmethod(lambda: before(request))
            monkeypatch.setattr(remote.bucket, "before", wait)
            with buckets.training(remote.address, request) as folder:
                (folder / "metrics.jsonl").write_text(text)
                signal.raise_signal(signal.SIGTERM)
                assert not request.answered.is_set()
            assert request.reason == "preempted"

    train("1", 20.0, lambda request: request.answered.wait(30.0))  # set before a copy
    assert remote.get("metrics.jsonl") == "1"
    over = threading.Event()
    with pytest.raises(copies.CopyError, match=r"not ready 0 s after") as late:
        train("2", 0.2, lambda _: over.wait(30.0))
    over.set()
    until = time.monotonic() + 30  # its thread writes into no later test's bucket
    while not json.loads(remote.get(".lease"))["over"]:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert late.value.exit_code == 85


def test_a_bucket_that_cannot_be_had_is_a_line(remote, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("Forbidden: storage.objects.list")

    monkeypatch.setattr(remote.bucket, "find", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(Forbidden"):
        buckets.reading(remote.address)
    for wrong in ("ftp://mine/a", "gs:/mine/a"):
        with pytest.raises(UserError, match="no kind of bucket"):
            buckets.reading(wrong)
        with pytest.raises(UserError, match="no kind"), buckets.training(wrong):
            pass


def test_a_cache_that_cannot_be_had_is_a_line(remote, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(folder.fcntl, "flock", refuse)
        with pytest.raises(UserError, match=r"locks available\): set XDG_CACHE_HOME"):
            buckets.reading(remote.address)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/x")
    told = pytest.raises(UserError, match=r"/proc/x/.* set XDG_CACHE_HOME")
    with told, buckets.training(remote.address):
        pass

    def unknown(_):
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("XDG_CACHE_HOME", "HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert main(["list"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "set XDG_CACHE_HOME" in line


def test_a_disk_is_what_it_was(tmp_path):
    assert buckets.reading(tmp_path) == tmp_path
    with buckets.training(tmp_path / "x") as folder:
        assert folder == tmp_path / "x"
