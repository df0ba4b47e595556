"""Workdirs on a bucket: epath's own way to gs://, with a store in memory behind it."""

import json
import time

import fsspec
import pytest
from etils import epath
from fsspec.implementations.memory import MemoryFileSystem

from launch import buckets
from launch.buckets import workdirs
from launch.buckets.mirror import Mirror, relative, walk
from research.errors import UserError

TINY = (
    "seed_lstm --steps 12 --batch-size 8 --model.hidden 4 --validation-examples 20 "
    "--checkpoint-every 2 --log-every 1"
)
ADDRESS = "gs://mine/runs/a"


class Bucket(MemoryFileSystem):
    """A store in memory that answers to gs://."""

    protocol = ("gs", "gcs")
    store: dict = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012

    def __init__(self, *_, **__):
        super().__init__()

    @classmethod
    def _strip_protocol(cls, path):
        plain = path.replace("gs://", "memory://").replace("gcs://", "memory://")
        return MemoryFileSystem._strip_protocol(plain)


@pytest.fixture
def remote(monkeypatch, tmp_path):
    for name in ("gs", "gcs"):
        fsspec.register_implementation(name, Bucket, clobber=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Bucket.store.clear()
    Bucket.pseudo_dirs[:] = [""]
    return epath.Path(ADDRESS)


def names(remote):
    return {relative(file, remote) for file in walk(remote)}


def forget(tmp_path):
    """Another machine: nothing of the run is there."""
    import shutil

    shutil.rmtree(tmp_path / "cache")


def train(launch, monkeypatch, tmp_path, *more):
    monkeypatch.setitem(launch._environment, "XDG_CACHE_HOME", str(tmp_path / "cache"))
    return launch.within("train", *TINY.split(), "--workdir", ADDRESS, *more)


def test_a_run_on_a_bucket_goes_on_on_another_machine(
    launch, remote, monkeypatch, tmp_path
):
    from research.training import stop

    # Stopped by a notice after five steps, as a preempted machine is.
    class Soon:
        seen = 0

        @property
        def reason(self):
            self.seen += 1
            return "preempted" if self.seen > 12 else None

        def handle(self, number, frame):
            raise AssertionError(f"no signal was sent: {number}, {frame}")

    with monkeypatch.context() as patch:
        patch.setattr(stop, "StopRequest", Soon)
        code, _, error = train(launch, monkeypatch, tmp_path)
    assert code == 85, error
    kept = names(remote)
    steps = sorted(int(n.split("/")[1]) for n in kept if n.endswith("_METADATA")
                   and n.count("/") == 2)  # fmt: skip
    assert steps
    assert {f"checkpoints/{s}.whole" for s in steps} <= kept
    assert ".lease" not in kept
    assert ".lock" not in kept
    forget(tmp_path)
    code, out, error = train(launch, monkeypatch, tmp_path)
    assert code == 0, error
    assert f"continues at step {max(steps)}" in out
    assert json.loads((remote / "summary.json").read_text())["verdict"] == "done"
    lines = (remote / "metrics.jsonl").read_text().splitlines()
    logged = [line["step"] for line in map(json.loads, lines) if "loss" in line]
    assert logged == list(range(1, 13))
    assert (remote / "report.html").exists()
    # The same numbers as a run that was never stopped, on a disk.
    code, _, error = launch.within("train", *TINY.split(), "--workdir", tmp_path / "b")
    assert code == 0, error
    forget(tmp_path)
    ours = buckets.reading(ADDRESS)
    assert launch.hashes(ours)[12] == launch.hashes(tmp_path / "b")[12]


def test_half_a_checkpoint_is_not_read(remote, tmp_path):
    (remote / "checkpoints" / "4").mkdir(parents=True)
    (remote / "checkpoints" / "4" / "data").write_text("whole")
    (remote / "checkpoints" / "4.whole").write_text("4")
    (remote / "checkpoints" / "6").mkdir(parents=True)
    (remote / "checkpoints" / "6" / "data").write_text("ha")
    found = buckets.reading(ADDRESS)
    assert [p.name for p in (found / "checkpoints").iterdir()] == ["4"]


def test_old_checkpoints_go_and_only_what_changed_is_sent(remote, tmp_path):
    local = tmp_path / "run"
    for step in ("2", "4", "6.orbax-checkpoint-tmp"):
        (local / "checkpoints" / step).mkdir(parents=True)
        (local / "checkpoints" / step / "data").write_text(step)
    (local / "config.json").write_text("{}")
    mirror = Mirror(remote, local)
    mirror.push()
    assert names(remote) == {
        "config.json", "checkpoints/2/data", "checkpoints/2.whole",
        "checkpoints/4/data", "checkpoints/4.whole",
    }  # fmt: skip
    (local / "checkpoints" / "2" / "data").unlink()
    (local / "checkpoints" / "2").rmdir()
    (remote / "config.json").write_text("theirs")
    mirror.push()
    assert (remote / "config.json").read_text() == "theirs"  # ours had not changed
    assert "checkpoints/2.whole" not in names(remote)
    assert "checkpoints/2/data" not in names(remote)


def test_two_runs_do_not_write_to_one_place(remote, monkeypatch):
    with buckets.training(ADDRESS) as first:
        (first / "a").write_text("1")
        told = pytest.raises(UserError, match="another run is writing to gs://mine")
        with told, buckets.training(ADDRESS):
            pass
    assert (remote / "a").read_text() == "1"
    # One that was killed holds it no longer than its lease.
    dead = {"run": "x", "host": "gone", "time": time.time() - workdirs.STALE - 1}
    (remote / ".lease").write_text(json.dumps(dead))
    with buckets.training(ADDRESS):
        assert json.loads((remote / ".lease").read_text())["host"] != "gone"
    assert not (remote / ".lease").exists()


def test_while_it_runs_the_bucket_is_kept_up_to_date(remote, monkeypatch):
    monkeypatch.setattr(workdirs, "EVERY", 0.05)
    with buckets.training(ADDRESS) as folder:
        (folder / "metrics.jsonl").write_text("{}\n")
        until = time.monotonic() + 20
        while not (remote / "metrics.jsonl").exists():
            assert time.monotonic() < until
            time.sleep(0.02)


def test_a_bucket_that_cannot_be_had_is_a_line(remote, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("Forbidden: storage.objects.list")

    monkeypatch.setattr(Mirror, "pull", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(Forbidden"):
        buckets.reading(ADDRESS)
    with pytest.raises(UserError, match="no kind of bucket"):
        buckets.reading("ftp://mine/a")


def test_a_disk_is_what_it_was(tmp_path):
    assert buckets.reading(tmp_path) == tmp_path
    with buckets.training(tmp_path / "x") as folder:
        assert folder == tmp_path / "x"
