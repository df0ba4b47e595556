"""Stock data sets, downloaded from a server on this machine or put there by hand."""

import gzip
import os
import shutil
import socket
import time
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from research.data import cifar10, mnist
from research.errors import UserError
from research.sources.cifar_binary import CifarFiles
from research.sources.idx import IdxFiles
from research.sources.stock import stock


def test_mnist_is_downloaded_and_plain_tfds_reads_it(
    server, digits, point, check_split, tmp_path
):
    server.files = digits.files
    source = stock("mnist", IdxFiles)
    point(source, server.url, digits.files)
    for split, (images, labels) in digits.arrays.items():
        check_split(mnist.load(split, tmp_path), images[..., None], labels)
    assert sorted(server.asked)[:4] == [("GET", name) for name in sorted(digits.files)]
    assert len(server.asked) == 5  # one head, then each file once

    plain: Any = tfds.data_source("mnist", split="test", data_dir=tmp_path)
    want = mnist.load("test", tmp_path).arrays
    np.testing.assert_array_equal([row["image"] for row in plain], want["image"])
    assert (tmp_path / "mnist" / "3.0.1" / "dataset_info.json").is_file()


def test_cifar10_is_downloaded_and_plain_tfds_reads_it(
    server, photographs, point, check_split, tmp_path
):
    server.files = photographs.files
    source = stock("cifar10", CifarFiles)
    point(source, server.url, photographs.files)
    for split, (images, labels) in photographs.arrays.items():
        check_split(cifar10.load(split, tmp_path), np.moveaxis(images, 1, 3), labels)
    builder: Any = tfds.builder("cifar10", data_dir=tmp_path)
    assert builder.info.features["label"].names[2:4] == ["bird", "cat"]
    rows = builder.as_data_source("train")
    images, _ = photographs.arrays["train"]
    for row in rows:
        number = int(row["id"].decode().removeprefix("train_"))
        np.testing.assert_array_equal(row["image"], np.moveaxis(images[number], 0, 2))


def test_files_put_there_by_hand_need_no_network(
    closed, digits, point, check_split, tmp_path
):
    point(stock("mnist", IdxFiles), closed, digits.files)
    manual = tmp_path / "downloads" / "manual" / "mnist"
    manual.mkdir(parents=True)
    for name, data in digits.files.items():
        (manual / name).write_bytes(data)
    images, labels = digits.arrays["train"]
    check_split(mnist.load("train", tmp_path), images[..., None], labels)


def test_a_wrong_file_put_there_by_hand_is_refused(closed, digits, point, tmp_path):
    point(stock("mnist", IdxFiles), closed, digits.files)
    manual = tmp_path / "downloads" / "manual" / "mnist"
    manual.mkdir(parents=True)
    for name in digits.files:
        (manual / name).write_bytes(gzip.compress(b"of another data set"))
    with pytest.raises(UserError, match=r"mnist/t.*-ubyte.gz, has wrong checksum") as e:
        mnist.load("train", tmp_path)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "mnist" / "3.0.1").exists()


def test_what_was_downloaded_once_is_used_again_without_a_network(
    server, digits, point, tmp_path
):
    server.files = digits.files
    point(stock("mnist", IdxFiles), server.url, digits.files)
    first = mnist.load("train", tmp_path)
    server.stop()
    shutil.rmtree(tmp_path / "mnist")
    assert mnist.load("train", tmp_path).fingerprint == first.fingerprint


def refusal(part, folder):
    """The message that a data set is refused with, which must come within 10 s."""
    start = time.perf_counter()
    with pytest.raises(UserError) as error:
        part.load("train", folder)
    assert time.perf_counter() - start < 10
    message = str(error.value)
    assert "\n" not in message
    return message


def test_no_network_is_told_with_what_to_do(closed, digits, point, tmp_path):
    point(stock("mnist", IdxFiles), closed, digits.files)
    message = refusal(mnist, tmp_path)
    assert message.startswith(f"mnist is not in '{tmp_path}' and there is no network")
    assert f"into '{tmp_path}/downloads/manual/mnist'" in message
    assert all(name in message for name in digits.files)
    assert message.endswith("or use digits or stacked_digits, which need no network")


def test_a_host_that_never_answers_is_given_up(digits, point, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        point(stock("mnist", IdxFiles), url, digits.files)
        assert "no connection, ReadTimeout" in refusal(mnist, tmp_path)


def test_a_file_that_is_gone_is_told(server, digits, point, tmp_path):
    point(stock("mnist", IdxFiles), server.url, digits.files)
    assert "answers 404" in refusal(mnist, tmp_path)


def test_a_file_that_was_changed_on_the_way_is_refused(server, digits, point, tmp_path):
    server.files = {name: data + b"?" for name, data in digits.files.items()}
    point(stock("mnist", IdxFiles), server.url, digits.files)
    assert "has wrong checksum" in refusal(mnist, tmp_path)


def test_a_damaged_download_is_refused(server, digits, point, tmp_path):
    server.files = digits.files
    point(stock("mnist", IdxFiles), server.url, digits.files)
    mnist.load("train", tmp_path)
    (records,) = (tmp_path / "mnist" / "3.0.1").glob("mnist-train.array_record*")
    os.truncate(records, records.stat().st_size // 2)
    assert "mnist is damaged" in refusal(mnist, tmp_path)
