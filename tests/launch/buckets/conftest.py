"""A store in memory that stands for a bucket."""

import base64
import hashlib
import json
import shutil
import time
from pathlib import Path

import fsspec
import pytest
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.implementations.memory import MemoryFileSystem

from launch.buckets import lease

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

    address = ADDRESS
    bucket = Bucket

    def __init__(self, cache: Path):
        self.files, self._cache = fsspec.filesystem("gs"), cache

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

    def lease(self):
        """What the lease says; None of none."""
        try:
            return self.get(".lease")
        except FileNotFoundError:
            return None

    def forget(self):
        """Another machine: nothing of the run is there."""
        shutil.rmtree(self._cache)


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
    return Remote(tmp_path / "cache")
