"""Workdirs on a bucket: gs:// by fsspec, with a store in memory behind it."""

import base64
import errno
import hashlib
import itertools
import json
import pwd
import shutil
import signal
import threading
import time
import types
from pathlib import Path

import fsspec
import pytest
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.implementations.memory import MemoryFileSystem

from launch import buckets
from launch.__main__ import main
from launch.buckets import copies, folder, lease
from launch.buckets.mirror import Mirror
from research.errors import UserError
from research.training import stop as stops

ADDRESS = "gs://mine/runs/a"


class Bucket(MemoryFileSystem):
    """A store in memory that answers to gs://, and tells hashes as Google's does."""

    protocol = ("gs", "gcs")
    store: dict = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    sent: list = []  # noqa: RUF012
    before = staticmethod(lambda: None)  # each file that is sent

    def __init__(self, *_, **__):
        super().__init__()

    @classmethod
    def _strip_protocol(cls, path):
        plain = path.replace("gs://", "memory://").replace("gcs://", "memory://")
        return MemoryFileSystem._strip_protocol(plain)

    def find(self, path, maxdepth=None, withdirs=False, detail=False, **_):
        found = super().find(path, maxdepth, withdirs, detail=True)
        for name in found.keys() & self.store.keys():
            digest = hashlib.md5(self.store[name].getvalue()).digest()
            found[name]["md5Hash"] = base64.b64encode(digest).decode()
        return found if detail else sorted(found)

    def pipe_file(self, path, value, mode="overwrite", **_):
        self._note(path)
        super().pipe_file(path, value, mode)

    def put_file(self, lpath, rpath, callback=DEFAULT_CALLBACK, mode="overwrite", **_):
        self._note(rpath)
        super().put_file(lpath, rpath, callback, mode)

    def _note(self, path):
        name = self._strip_protocol(path).removeprefix("/mine/runs/a/")
        if name != ".lease":
            self.before()
            self.sent.append(name)


class Remote:
    """What is in the bucket's folder."""

    def __init__(self):
        self.files = fsspec.filesystem("gs")

    def put(self, name, text):
        with self.files.open(f"{ADDRESS}/{name}", "w") as file:
            file.write(text)

    def get(self, name):
        return self.files.cat_file(f"{ADDRESS}/{name}").decode()

    def names(self):
        return {
            path.removeprefix("/mine/runs/a/") for path in self.files.find(ADDRESS)
        } - {".lease"}

    def hold(self, run="x", **more):
        """Another machine's run has the lease."""
        about = {"run": run, "host": "far", "time": time.time(), "over": False}
        self.put(".lease", json.dumps(about | more))


@pytest.fixture
def remote(monkeypatch, tmp_path):
    for name in ("gs", "gcs"):
        fsspec.register_implementation(name, Bucket, clobber=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(lease, "SETTLE", 0.0)
    monkeypatch.setattr(lease, "LOOK", 0.01)
    Bucket.store.clear()
    Bucket.pseudo_dirs[:] = [""]
    Bucket.sent.clear()
    return Remote()


def lease_of(remote):
    """What the lease says; None of none."""
    try:
        return remote.get(".lease")
    except FileNotFoundError:
        return None


def forget(tmp_path):
    """Another machine: nothing of the run is there."""
    shutil.rmtree(tmp_path / "cache")


def test_a_run_on_a_bucket_goes_on_on_another_machine(
    launch, lstm_run, remote, monkeypatch, tmp_path
):
    monkeypatch.setitem(launch._environment, "XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole, _ = lstm_run
    with buckets.training(ADDRESS) as folder:  # what a run left that was taken away
        later = shutil.ignore_patterns("36", "40", "summary.json", "report.html")
        shutil.copytree(whole, folder, ignore=later, dirs_exist_ok=True)
    kept = remote.names()
    assert {n for n in kept if n.endswith(".whole")} == {"checkpoints/32.whole"}
    assert ".lock" not in kept
    forget(tmp_path)
    code, out, error = launch.within("train", *launch.LSTM, "--workdir", ADDRESS)
    assert code == 0, error
    assert "continues at step 32" in out
    assert json.loads(remote.get("summary.json"))["verdict"] == "done"
    lines = remote.get("metrics.jsonl").splitlines()
    logged = [line["step"] for line in map(json.loads, lines) if "loss" in line]
    assert logged == list(range(1, 41))
    assert "report.html" in remote.names()
    # The same numbers as a run that was never stopped, on a disk.
    forget(tmp_path)
    ours = buckets.reading(ADDRESS)
    assert launch.hashes(ours)[40] == launch.hashes(whole)[40]
    # All that reads a run reads it there; the page comes to the copy here.
    for verb in ("inspect", "evaluate", "report"):
        code, out, error = launch.within(verb, ADDRESS)
        assert code == 0, error
        assert "seed_lstm" in out
    assert out.splitlines()[-1] == f"report: {ours / 'report.html'}"


def test_half_a_checkpoint_is_not_read(remote):
    for run in ("", "member/"):
        remote.put(f"{run}checkpoints/4/data", "whole")
        remote.put(f"{run}checkpoints/4.whole", "")
        remote.put(f"{run}checkpoints/6/data", "ha")
    found = buckets.reading(ADDRESS)
    for place in (found, found / "member"):
        assert [p.name for p in (place / "checkpoints").iterdir()] == ["4"]


@pytest.mark.parametrize("run", ["", "member/"])
def test_old_checkpoints_go_and_only_what_changed_is_sent(remote, tmp_path, run):
    place = tmp_path / "run" / run / "checkpoints"
    for step in ("2", "4", "6.orbax-checkpoint-tmp"):
        (place / step).mkdir(parents=True)
        (place / step / "data").write_text(step)
    (tmp_path / "run" / "metrics.jsonl").write_text("{}")
    for step in (4, 3):  # and 3 is gone here since then
        remote.put(f"{run}checkpoints/{step}/of a push that was killed", "ha")
    mirror = Mirror(ADDRESS, tmp_path / "run")
    mirror.compare(mirror.names())
    mirror.push()
    everything = [
        "metrics.jsonl",
        *(f"{run}checkpoints/{n}" for n in ("4/data", "4.whole", "2/data", "2.whole")),
    ]
    assert Bucket.sent == everything  # the record first, a mark last, the newest before
    assert remote.names() == set(everything)
    mirror.push()
    assert Bucket.sent == everything
    # One that went back and trained on saves the same step anew.
    (place / "4" / "data").write_text("4 again")
    shutil.rmtree(place / "2")
    (tmp_path / "run" / "metrics.jsonl").unlink()  # as what told of an end that is not
    remote.put("notes.txt", "by hand")
    mirror.push()
    assert remote.get(f"{run}checkpoints/4/data") == "4 again"
    assert remote.names() == {
        "notes.txt", f"{run}checkpoints/4/data", f"{run}checkpoints/4.whole"
    }  # fmt: skip
    shutil.rmtree(tmp_path / "run")  # by who cleans the cache: the bucket has it still
    with pytest.raises(FileNotFoundError):
        mirror.push()
    assert f"{run}checkpoints/4.whole" in remote.names()


def test_a_checkpoint_goes_while_the_folder_is_read(remote, tmp_path, monkeypatch):
    place, is_file = tmp_path / "checkpoints", Path.is_file
    for step in ("4", "6"):
        (place / step).mkdir(parents=True)
        (place / step / "data").write_text(step)

    def other_goes(path, **how):
        for step in {"4", "6"} - set(path.parts) if place in path.parents else ():
            shutil.rmtree(place / step, ignore_errors=True)
        return is_file(path, **how)

    monkeypatch.setattr(Path, "is_file", other_goes)
    (left,) = Mirror(ADDRESS, tmp_path).here()
    assert left in ("checkpoints/4/data", "checkpoints/6/data")


def test_a_reader_sees_what_is_there_now_and_leaves_a_run_beside_it_alone(remote):
    with buckets.training(ADDRESS) as live:
        (live / "metrics.jsonl").write_text("1\n")
        (live / "checkpoints" / "1").mkdir(parents=True)
        (live / "checkpoints" / "1" / "data").write_text("1")
    with buckets.training(ADDRESS) as live:
        (live / "metrics.jsonl").write_text("1\n2\n")  # not copied yet
        found = buckets.reading(ADDRESS)
        assert (live / "metrics.jsonl").read_text() == "1\n2\n"
        assert (found / "metrics.jsonl").read_text() == "1\n"
        assert (found / "checkpoints" / "1" / "data").exists()
        (found / "report.html").write_text("made by the reader")
        before = (found / "metrics.jsonl").stat().st_mtime_ns
        buckets.reading(ADDRESS)
        assert (found / "metrics.jsonl").stat().st_mtime_ns == before  # the same
        remote.put("metrics.jsonl", "9\n")  # as long
        shutil.rmtree(live / "checkpoints" / "1")
        remote.files.rm(f"{ADDRESS}/checkpoints", recursive=True)
        assert buckets.reading(ADDRESS) == found
    assert (found / "metrics.jsonl").read_text() == "9\n"
    assert {p.name for p in found.iterdir()} == {"metrics.jsonl", "report.html"}


def test_a_restart_keeps_what_is_newer(remote, tmp_path):
    with buckets.training(ADDRESS) as live:
        (live / "metrics.jsonl").write_text("1\n")
    # Killed after more lines and a checkpoint that were not copied.
    (live / "metrics.jsonl").write_text("1\n2\n")
    (live / "checkpoints" / "2").mkdir(parents=True)
    (live / "checkpoints" / "2" / "data").write_text("x")
    remote.hold(
        json.loads(remote.get(".lease"))["run"], host=lease.socket.gethostname()
    )
    with buckets.training(ADDRESS) as again:
        assert (again / "metrics.jsonl").read_text() == "1\n2\n"
        assert (again / "checkpoints" / "2" / "data").exists()
    assert remote.get("metrics.jsonl") == "1\n2\n"
    # Another machine has gone on since: what is left here is of the past.
    remote.hold(over=True)
    remote.put("metrics.jsonl", "1\n2\n3\n")
    remote.files.rm(f"{ADDRESS}/checkpoints", recursive=True)
    with buckets.training(ADDRESS) as later:
        assert [p.name for p in later.iterdir()] == ["metrics.jsonl"]
        assert (later / "metrics.jsonl").read_text() == "1\n2\n3\n"


def test_a_run_that_was_killed_does_not_lock_its_next_start_out(remote, monkeypatch):
    monkeypatch.setattr(lease, "STALE", 0.2)
    remote.hold()  # since just now, by another machine that is gone
    began = time.monotonic()
    with buckets.training(ADDRESS):
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
    with told, buckets.training(ADDRESS):
        pass
    assert json.loads(remote.get(".lease"))["run"] == "x"
    (line,) = capsys.readouterr().err.splitlines()
    assert "waits for the run on far" in line
    request = stops.StopRequest()
    request.reason = "interrupted"
    with pytest.raises(KeyboardInterrupt), buckets.training(ADDRESS, request):
        pass


def test_two_runs_on_one_machine(remote):
    with buckets.training(ADDRESS):
        told = pytest.raises(UserError, match="on this machine is writing to gs://mine")
        with told, buckets.training(ADDRESS):
            pass


def test_a_run_whose_lease_was_taken_writes_no_more(remote, monkeypatch):
    def end(why):  # in place of the end of this process
        raise RuntimeError(why)

    monkeypatch.setattr(copies, "end_resumable", end)
    taken = pytest.raises(copies.CopyError, match="taken gs://mine/runs/a from this")
    with taken, buckets.training(ADDRESS) as folder:
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
    mine = lease.Lease(Mirror(ADDRESS, tmp_path), ADDRESS, "mine")
    with pytest.raises(UserError, match="another run is writing"):
        mine.take()
    mine.release()
    assert json.loads(remote.get(".lease"))["run"] == "other"


def test_a_mistake_in_a_run_is_told_also_where_the_last_copy_fails(
    remote, monkeypatch, capsys
):
    def refuse():
        raise OSError("connection reset")

    monkeypatch.setattr(Bucket, "before", staticmethod(refuse))
    told = pytest.raises(UserError, match="a mistake")
    with told as found, buckets.training(ADDRESS) as place:
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
        assert main(["sweep", "seed_lstm", "--seeds", "2", "--workdir", ADDRESS]) == 85
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

    monkeypatch.setattr(Bucket, "get_file", refuse)
    with pytest.raises(UserError, match="reset"), buckets.training(ADDRESS):
        pass
    assert leases[0] != leases[1]
    assert remote.names() == {"checkpoints/4/data", "checkpoints/4.whole"}
    assert json.loads(remote.get(".lease"))["over"]


def test_while_it_runs_the_bucket_and_the_lease_are_kept_up_to_date(
    remote, monkeypatch
):
    monkeypatch.setattr(copies, "EVERY", 0.05)
    monkeypatch.setattr(copies, "RENEW", 0.05)
    with buckets.training(ADDRESS) as folder:
        first = lease_of(remote)
        (folder / "metrics.jsonl").write_text("{}\n")
        remote.files.rm(f"{ADDRESS}/.lease")  # by hand: it is written anew
        until = time.monotonic() + 20
        while "metrics.jsonl" not in remote.names() or lease_of(remote) in (
            None,
            first,
        ):
            assert time.monotonic() < until
            time.sleep(0.02)


def test_after_a_notice_the_last_copy_has_a_limit_of_its_own(remote, monkeypatch):
    def train(text, limit, before):
        monkeypatch.setattr(copies, "LAST", limit)
        with stops.listening(seconds=60.0) as request:  # then this process would end
            wait = staticmethod(lambda: before(request))
            monkeypatch.setattr(Bucket, "before", wait)
            with buckets.training(ADDRESS, request) as folder:
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

    monkeypatch.setattr(Bucket, "find", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(Forbidden"):
        buckets.reading(ADDRESS)
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
            buckets.reading(ADDRESS)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/x")
    told = pytest.raises(UserError, match=r"/proc/x/.* set XDG_CACHE_HOME")
    with told, buckets.training(ADDRESS):
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
