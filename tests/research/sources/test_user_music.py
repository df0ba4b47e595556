"""Piano rolls and MIDI files of the user's: layouts that are read, others refused."""

import json
import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from research import data
from research.errors import UserError
from research.experiment import Data
from research.sources import midi
from research.sources.user_music import read

STEPS = [[60, 64], [], [21, 108], [60]]
ROLL = np.zeros((4, 88), np.uint8)
ROLL[[0, 0, 2, 2, 3], [39, 43, 0, 87, 39]] = 1
SPLITS = {"train": [STEPS, STEPS[::-1]], "valid": [], "test": [STEPS]}


def cells(*pieces):
    found = np.empty((1, len(pieces)), object)
    found[0] = pieces
    return found


def written(folder, suffix, splits):
    path = folder / f"music{suffix}"
    if suffix == ".mat":
        savemat(path, splits)
    elif suffix == ".json":
        path.write_text(json.dumps(splits))
    else:
        path.write_bytes(pickle.dumps(splits, protocol=2))
    return path


VOICES = [[60, 64], [-1, float("nan")], [21, 108], [60, -1]]
LAYOUTS = {
    "mat": (".mat", {"traindata": cells(ROLL, ROLL[::-1]), "testdata": cells(ROLL)}),
    "json": (".json", SPLITS),
    "json of voices": (".json", SPLITS | {"train": [VOICES, VOICES[::-1]]}),
    "json of rolls": (
        ".json",
        SPLITS | {"train": [ROLL.tolist(), ROLL[::-1].tolist()]},
    ),
    "pickle": (".pickle", SPLITS),
    "pickle of arrays": (".pkl", {**SPLITS, "train": [np.array(VOICES), VOICES[::-1]]}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_layouts_give_the_same_rolls(layout, tmp_path):
    found = read(written(tmp_path, *LAYOUTS[layout]))
    assert list(found) == ["train", "test"]
    np.testing.assert_array_equal(found["train"], [ROLL, ROLL[::-1]])
    np.testing.assert_array_equal(found["test"], [ROLL])
    assert found["test"][0].dtype == bool


def test_a_folder_of_midi_files_is_split_by_content(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(10):
        piece = np.zeros((8, 88), bool)
        piece[np.arange(8), rng.integers(0, 88, 8)] = True
        midi.write(piece, tmp_path / f"{number}.mid")
    found = read(tmp_path)
    assert [len(found["train"]), len(found["test"])] == [8, 2]
    for number in range(10):  # other names, another order
        (tmp_path / f"{number}.mid").rename(tmp_path / f"{9 - number}_.midi")
    again = read(tmp_path)
    np.testing.assert_array_equal(again["test"], found["test"])


def test_copies_of_a_piece_are_held_out_together(tmp_path):
    for number, key in enumerate([40, 50, 40, 50, 40, 40]):
        piece = np.zeros((8, 88), bool)
        piece[:, key] = True
        midi.write(piece, tmp_path / f"{number}.mid")
    found = read(tmp_path)
    keys = {split: {*np.nonzero(found[split])[2]} for split in found}
    assert {frozenset(of) for of in keys.values()} == {frozenset({40}), frozenset({50})}
    assert sum(map(len, found.values())) == 6
    for number in (1, 3):
        (tmp_path / f"{number}.mid").unlink()
    with pytest.raises(UserError, match="holds one piece 4 times: two or more"):
        read(tmp_path)


def test_a_pickle_that_would_run_something_is_refused_unread(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    path = tmp_path / "music.pickle"
    path.write_bytes(pickle.dumps(SPLITS | {"train": [Trap()]}))
    with pytest.raises(
        UserError, match=r"names posix.mkdir, which music does not need"
    ):
        read(path)
    assert not (tmp_path / "trapped").exists()


WRONG = {
    "narrow": (
        ".mat",
        {"traindata": cells(ROLL[:, :80]), "testdata": cells(ROLL)},
        r"piece 0 of 'traindata' is no piano roll \(its shape is \(4, 80\)\)",
    ),
    "values": (
        ".mat",
        {"traindata": cells(ROLL / 2), "testdata": cells(ROLL)},
        "values that are neither 0 nor 1",
    ),
    "names": (".mat", {"x": ROLL}, r"has no 'traindata' \(it holds .*x\)"),
    "list": (".json", [1, 2], "has no 'train'"),
    "pitch": (".json", SPLITS | {"test": [[[60], [109]]]}, "109 is no MIDI number"),
    "of length 0": (
        ".mat",
        {"traindata": cells(ROLL[:0], ROLL), "testdata": cells(ROLL)},
        "has 0 steps: 2 to 20,000",
    ),
    "short": (".json", SPLITS | {"test": [[[60]]]}, "has 1 steps: 2 to 20,000"),
    "long": (".json", SPLITS | {"test": [[[]] * 20_001]}, "has 20,001 steps"),
    "none": (".json", SPLITS | {"test": []}, "'test' holds no piece"),
    "no list": (".json", SPLITS | {"train": None}, "'train' holds no list of pieces"),
    "infinite": (".json", SPLITS | {"test": [[[60], [math.inf]]]}, "is no piano roll"),
    "depth": (".json", SPLITS | {"test": [3]}, "is no piano roll"),
}


@pytest.mark.parametrize("case", WRONG)
def test_another_shape_is_refused_by_name(case, tmp_path):
    suffix, splits, message = WRONG[case]
    path = written(tmp_path, suffix, splits)
    with pytest.raises(UserError, match=message) as refusal:
        read(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mat", b"no mat", "a.mat cannot be read"),
        ("a.json", b"{", "a.json cannot be read"),
        ("a.pickle", b"", "a.pickle cannot be read"),
        ("a.wav", b"", "a.wav is of another kind"),
        ("b/a.mid", b"x", "holds 1 .mid files"),
    ],
)
def test_a_file_of_another_kind_is_refused(name, content, message, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(path.parent if path.suffix == ".mid" else path)
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "none.mat")
    with pytest.raises(UserError, match=r"--data.path ~nobody-here/a.mat: nothing"):
        read(Path("~nobody-here/a.mat"))


def test_the_data_set_asks_for_a_path_and_reads_it(tmp_path):
    with pytest.raises(UserError, match=r"with --data.path, or take --data.name chor"):
        data.find(Data("piano_rolls"))
    path = written(tmp_path, ".json", SPLITS)
    split = data.find(Data("piano_rolls", path=path)).load("train")
    np.testing.assert_array_equal(split.arrays["lengths"], [4, 4])


@pytest.mark.parametrize(("suffix", "name"), [(".mat", "{}data"), (".json", "{}")])
def test_settings_are_chosen_on_valid_and_the_test_pieces_stay_unseen(
    suffix, name, tmp_path
):
    pieces = {"train": ROLL, "valid": ROLL[1:], "test": ROLL[2:]}
    if suffix == ".json":
        pieces = {split: [STEPS[4 - len(roll) :]] for split, roll in pieces.items()}
    else:
        pieces = {split: cells(roll) for split, roll in pieces.items()}
    named = {name.format(split): piece for split, piece in pieces.items()}
    path = written(tmp_path, suffix, named)
    found = {}
    for held_out in (None, "test", "valid"):
        part = data.find(Data("piano_rolls", path=path, held_out=held_out))
        np.testing.assert_array_equal(part.load("train").arrays["frames"], [ROLL])
        found[held_out] = part.load("test").arrays["frames"]
    np.testing.assert_array_equal(found["valid"], [ROLL[1:]])
    np.testing.assert_array_equal(found["test"], [ROLL[2:]])
    np.testing.assert_array_equal(found[None], found["test"])


def test_a_split_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--data.held-out valid: .* a file that has"):
        read(tmp_path, "valid")
    with pytest.raises(UserError, match="'valid' holds no piece"):
        read(written(tmp_path, ".json", SPLITS), "valid")
    with pytest.raises(UserError, match="held-out valid: chorales has no held"):
        data.find(Data("chorales", held_out="valid"))
