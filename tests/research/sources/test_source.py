"""Preparing, reading and mending, on the digits and on real damage to their files."""

import os
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from research.data.digits import DIGITS
from research.errors import UserError
from research.sources.folder import data_folder
from research.sources.source import load

RECORDS = "digits-test.array_record-00000-of-00001"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    load(DIGITS, "train", folder)
    load(DIGITS, "test", folder)
    return folder


@pytest.fixture
def folder(prepared, tmp_path):
    """A copy of the prepared data that a test may damage."""
    shutil.copytree(prepared, tmp_path / "data")
    return tmp_path / "data"


def place(folder):
    return folder / "digits" / "1.0.0"


def kept(folder, split="test"):
    (file,) = place(folder).glob(f"decoded-{split}-*.npy")
    return file


def run(program, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


LOAD = """
import sys
from research.data import digits
print(digits.load("train", sys.argv[1]).fingerprint)
"""


def test_plain_tfds_reads_what_was_prepared(prepared):
    source: Any = tfds.data_source("digits", split="test", data_dir=prepared)
    want = load(DIGITS, "test", prepared).arrays
    assert len(source) == 1000
    for row in (0, 500, 999):
        np.testing.assert_array_equal(source[row]["image"], want["image"][row])
        assert source[row]["label"] == want["label"][row]


def test_a_second_load_reads_the_kept_file_and_gives_the_same(folder):
    first = load(DIGITS, "train", folder)
    before = kept(folder, "train").stat()
    second = load(DIGITS, "train", folder)
    assert kept(folder, "train").stat().st_mtime_ns == before.st_mtime_ns
    assert first.fingerprint == second.fingerprint
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name])


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def flip(path, offset=150_000):
    with open(path, "r+b") as file:
        file.seek(offset)
        old = file.read(64)
        file.seek(offset)
        file.write(bytes(255 - byte for byte in old))


def remove(path):
    path.unlink()


def scribble(path):
    path.write_text('{"name": "digits", "splits": [{')


DAMAGE = [
    (truncate, RECORDS),
    (empty, RECORDS),
    (flip, RECORDS),
    (remove, RECORDS),
    (scribble, "dataset_info.json"),
    (remove, "dataset_info.json"),
]
NAMES = [f"{damage.__name__} {file}" for damage, file in DAMAGE]


@pytest.mark.parametrize(("damage", "file"), DAMAGE, ids=NAMES)
def test_damaged_files_are_made_again_from_the_package(damage, file, folder, caplog):
    want = load(DIGITS, "test", folder)
    damage(place(folder) / file)
    got = load(DIGITS, "test", folder)
    assert got.fingerprint == want.fingerprint
    np.testing.assert_array_equal(got.arrays["image"], want.arrays["image"])
    assert "digits was damaged" in caplog.text
    assert len(list((folder / "digits").glob("damaged-*"))) == 1
    caplog.clear()
    load(DIGITS, "test", folder)
    assert not caplog.text


@pytest.mark.parametrize(("damage", "file"), [DAMAGE[2], DAMAGE[-1]])
def test_damaged_files_that_no_package_holds_are_refused(damage, file, folder):
    download = DIGITS._replace(ships_in=None)
    damage(place(folder) / file)
    with pytest.raises(UserError, match=r"digits is damaged: .*; delete '.*1") as error:
        load(download, "test", folder)
    assert "\n" not in str(error.value)


def test_whole_records_of_another_split_are_not_taken_for_these(folder, caplog):
    shutil.copy(
        place(folder) / RECORDS.replace("test", "train"), place(folder) / RECORDS
    )
    want = DIGITS.fingerprints["test"]
    assert load(DIGITS, "test", folder).fingerprint == want
    assert "digits was damaged" in caplog.text


@pytest.mark.parametrize("damage", [truncate, empty, flip])
def test_a_damaged_kept_file_is_decoded_again(damage, folder, caplog):
    file = kept(folder)
    damage(file)
    assert load(DIGITS, "test", folder).fingerprint == DIGITS.fingerprints["test"]
    assert kept(folder) == file
    assert not list((folder / "digits").glob("damaged-*"))
    assert not caplog.text


def test_a_kept_file_with_other_content_is_not_believed(folder):
    file = kept(folder)
    table = np.load(file)
    table["label"][0] += 1
    np.save(file, table)
    assert load(DIGITS, "test", folder).fingerprint == DIGITS.fingerprints["test"]


def test_records_for_tensorflow_are_refused(folder):
    info = place(folder) / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(UserError, match=r"holds tfrecord files.*TensorFlow"):
        load(DIGITS, "test", folder)


def test_processes_that_prepare_at_once_all_get_the_data(tmp_path):
    runs = [run(LOAD, tmp_path / "data") for _ in range(2)]
    for process in runs:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        assert out.split() == [DIGITS.fingerprints["train"]]
        assert not err
    assert [path.name for path in (tmp_path / "data" / "digits").iterdir()] == ["1.0.0"]


def test_the_first_load_prints_nothing_and_imports_no_tensorflow(tmp_path):
    program = """
import sys
from research.data import cifar10, digits, fashion_mnist, mnist, stacked_digits
assert "tensorflow_datasets" not in sys.modules
digits.load("test", sys.argv[1])
assert "tensorflow" not in sys.modules
assert "mlxtend" not in sys.modules
"""
    process = run(program, tmp_path)
    assert process.communicate(timeout=100) == ("", "")
    assert process.returncode == 0


LIMITED = """
import resource, sys
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from research.data import digits
from research.errors import UserError
try:
    print(digits.load("train", sys.argv[1]).fingerprint)
except UserError as error:
    sys.exit(f"user: {error}")
"""


def test_no_room_for_the_kept_file_costs_a_warning(tmp_path):
    process = run(LIMITED, tmp_path, 2_000_000)
    out, err = process.communicate(timeout=100)
    assert out.split() == [DIGITS.fingerprints["train"]]
    assert "not kept" in err
    assert not list(place(tmp_path).glob("decoded-*"))


def test_no_room_for_the_records_is_told_in_a_line(tmp_path):
    process = run(LIMITED, tmp_path, 100_000)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert err.startswith("user: cannot prepare digits in ")
    assert len(err.splitlines()) == 1
    assert not place(tmp_path).exists()


def test_the_folder_is_the_argument_then_the_variable_then_the_default(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "variable"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder(tmp_path / "argument") == tmp_path / "argument"
    assert data_folder() == tmp_path / "variable"
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert data_folder() == tmp_path / "tensorflow_datasets"
    assert data_folder("~/mine") == tmp_path / "mine"
    with pytest.raises(UserError, match=r"TFDS_DATA_DIR ~nobody-here/a: nothing here"):
        data_folder("~nobody-here/a")


def test_folders_that_cannot_be_used_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="file' is a file; name a folder"):
            load(DIGITS, "train", wrong)
    with pytest.raises(UserError, match="'gs://bucket/data' is not a folder"):
        load(DIGITS, "train", "gs://bucket/data")
    with pytest.raises(UserError, match="cannot prepare digits in '/proc/data'"):
        load(DIGITS, "train", "/proc/data")
