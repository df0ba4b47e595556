"""Tiny data sets in the files of the well-known ones, and a server on this machine."""

import functools
import gzip
import hashlib
import http.server
import io
import socket
import tarfile
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.utils import Size

from research.sources.idx import SPLITS

TAR = "cifar-10-binary.tar.gz"


def _idx_bytes(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return header + array.tobytes()


def _drawn(examples, *shape):
    """Random pictures and labels, in the layout of the data set's files."""
    rng = np.random.default_rng(examples)
    images = rng.integers(0, 256, (examples, *shape), np.uint8)
    return images, rng.integers(0, 10, examples).astype(np.uint8)


@pytest.fixture(scope="module")
def digits():
    """A tiny MNIST: the arrays, and the four files."""
    arrays = {"train": _drawn(60, 28, 28), "test": _drawn(20, 28, 28)}
    files = {
        name: gzip.compress(_idx_bytes(array), mtime=0)
        for split, names in SPLITS.items()
        for name, array in zip(names, arrays[split], strict=True)
    }
    return SimpleNamespace(arrays=arrays, files=files)


@pytest.fixture(scope="module")
def photographs():
    """A tiny CIFAR-10: the arrays, and the tar file."""
    arrays = {"train": _drawn(50, 3, 32, 32), "test": _drawn(10, 3, 32, 32)}
    records = {
        split: np.concatenate([labels[:, None], images.reshape(len(labels), -1)], 1)
        for split, (images, labels) in arrays.items()
    }
    members = {"test_batch.bin": records["test"].tobytes()}
    for number in range(5):
        part = records["train"][10 * number : 10 * number + 10]
        members[f"data_batch_{number + 1}.bin"] = part.tobytes()
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    members["batches.meta.txt"] = ("\n".join(names.split()) + "\n\n").encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return SimpleNamespace(arrays=arrays, files={TAR: buffer.getvalue()})


@pytest.fixture
def server():
    """A server on this machine: `files` to fill, `url`, and what was `asked`."""
    state = SimpleNamespace(files={}, asked=[])

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            state.asked.append((self.command, self.path[1:]))
            data = state.files.get(self.path[1:])
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            return data or b""

        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            self.wfile.write(self.answer())

        def log_message(self, format, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        state.url = f"http://127.0.0.1:{listener.server_port}/"
        state.stop = listener.shutdown
        yield state
        listener.shutdown()
        thread.join()


@pytest.fixture
def point(monkeypatch):
    """A function that has a stock builder download small files, checksums and all."""
    # A proxy would not know this machine.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return functools.partial(_point, monkeypatch)


def _point(monkeypatch, source, url, files):
    builder: Any = source.builder()
    infos = {
        url + name: UrlInfo(Size(len(data)), hashlib.sha256(data).hexdigest(), name)
        for name, data in files.items()
    }
    monkeypatch.setattr(builder, "url_infos", infos)
    if source.name == "cifar10":
        info = builder._cifar_info.fget(SimpleNamespace(name="cifar10"))
        monkeypatch.setattr(builder, "_cifar_info", info._replace(url=url + TAR))
    else:
        monkeypatch.setattr(builder, "URL", url)


@pytest.fixture
def closed():
    """An address of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


@pytest.fixture
def check_split():
    """A function that compares a split to the arrays of the files it came from."""
    return _check_split


def _check_split(found, images, labels):
    assert found.examples == len(labels)
    assert found.arrays["image"].dtype == np.uint8
    assert found.arrays["image"].shape == images.shape
    # tfds stores examples in an order of its own.
    got = _pairs(found.arrays["image"], found.arrays["label"])
    assert got == _pairs(images, labels)


def _pairs(images, labels):
    both = zip(images, labels, strict=True)
    return sorted((image.tobytes(), int(label)) for image, label in both)
