"""Idx files, and the data sets whose files a system package has installed."""

import gzip
import hashlib
import os

import numpy as np
import pytest

from research.data import fashion_mnist
from research.errors import UserError
from research.sources import idx
from research.sources.idx import IdxFiles
from research.sources.source import load
from research.sources.stock import Installed, stock


def idx_labels(labels):
    """An idx file of uint8 [examples], uncompressed."""
    return bytes([0, 0, 8, 1]) + len(labels).to_bytes(4) + bytes(labels)


@pytest.fixture
def package(digits, tmp_path):
    """A folder like that of Debian's package."""
    folder = tmp_path / "datasets"
    folder.mkdir()
    contents = {}
    for name, data in digits.files.items():
        (folder / name).write_bytes(data)
        contents[name] = hashlib.sha256(gzip.decompress(data)).hexdigest()
    return Installed("a package", folder, contents)


def test_installed_files_are_read_and_mend_damage(
    package, digits, check_split, tmp_path, caplog
):
    source = stock("fashion_mnist", IdxFiles, package)
    images, labels = digits.arrays["test"]
    first = load(source, "test", tmp_path)
    check_split(first, images[..., None], labels)
    place = tmp_path / "fashion_mnist" / "3.0.1"
    (records,) = place.glob("fashion_mnist-test.array_record*")
    os.truncate(records, 0)
    assert load(source, "test", tmp_path).fingerprint == first.fingerprint
    assert "made again from a package" in caplog.text


def test_installed_files_with_another_content_are_refused(package, tmp_path):
    name = "train-labels-idx1-ubyte.gz"
    labels = idx_labels([0] * 60)
    (package.folder / name).write_bytes(gzip.compress(labels))
    source = stock("fashion_mnist", IdxFiles, package)
    with pytest.raises(UserError, match=f"{name}' does not hold the published data"):
        load(source, "train", tmp_path)


def test_what_is_not_installed_is_named_as_a_way_out(
    closed, package, digits, point, tmp_path
):
    gone = package._replace(folder=tmp_path / "nowhere")
    source = stock("fashion_mnist", IdxFiles, gone)
    point(source, closed, digits.files)
    with pytest.raises(UserError, match="install a package, or use digits"):
        load(source, "train", tmp_path)


@pytest.mark.skipif(
    not fashion_mnist.DEBIAN.folder.is_dir(),
    reason="Debian's dataset-fashion-mnist is not installed",
)
def test_the_installed_fashion_mnist_is_the_published_one(tmp_path):
    arrays, examples, _ = fashion_mnist.load("train", tmp_path)
    assert examples == 60_000
    np.testing.assert_array_equal(np.bincount(arrays["label"]), [6000] * 10)
    assert abs(arrays["image"].mean() / 255 - 0.2860) < 5e-5
    assert abs(arrays["image"].std() / 255 - 0.3530) < 5e-5


def test_files_that_are_not_idx_are_refused(tmp_path):
    file = tmp_path / "labels.gz"
    whole = idx_labels(range(10))
    np.testing.assert_array_equal(
        (file.write_bytes(gzip.compress(whole)), idx.read(file))[1], np.arange(10)
    )
    for data in (whole[:-1], gzip.compress(whole)[:-9], gzip.compress(whole[:-1]), b""):
        file.write_bytes(data)
        with pytest.raises(UserError, match=r"labels.gz' is not a whole idx"):
            idx.read(file)
    file.write_bytes(gzip.compress(b"\0\0\x0d\1" + whole[4:]))
    with pytest.raises(UserError, match="is not an idx file of bytes"):
        idx.read(file)
