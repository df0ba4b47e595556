"""Folders and files of a user's own, and every way in which they can be wrong."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from research import data
from research.data import digits
from research.errors import UserError
from research.experiment import Data
from research.sources import user_pictures

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 12, 12, 3), np.uint8)


def found(path, **settings):
    return data.find(Data("images", path=Path(path), **settings))


def refusal(path, **settings):
    with pytest.raises(UserError) as error:
        found(path, **settings).load("train")
    assert "\n" not in str(error.value)
    return str(error.value)


def pictures_in(*splits):
    return sorted(p.tobytes() for s in splits for p in s.arrays["image"])


@pytest.fixture
def folder(tmp_path):
    """60 colour PNG files in two folders, one for each class."""
    for i, image in enumerate(IMAGES):
        place = tmp_path / ("cats" if i % 3 else "birds")
        place.mkdir(exist_ok=True)
        Image.fromarray(image).save(place / f"{i:02d}.png")
    return tmp_path


def test_a_folder_is_read_whole_with_its_classes(folder):
    part = found(folder)
    train, test = part.load("train"), part.load("test")
    assert pictures_in(train, test) == sorted(p.tobytes() for p in IMAGES)
    assert len(test.arrays["image"]) >= 1
    assert part.IMAGE_SHAPE == (12, 12, 3)
    assert part.LABELS == 2
    for split in (train, test):
        for image, label in zip(
            *map(split.arrays.get, ("image", "label")), strict=True
        ):
            i = next(i for i, one in enumerate(IMAGES) if np.array_equal(one, image))
            assert label == (1 if i % 3 else 0)
    assert "60 pictures" in part.__doc__


def test_the_split_is_the_picture_s_own_and_no_copy_lies_on_both_sides(folder):
    before = found(folder)
    sides = {name: set(pictures_in(before.load(name))) for name in ("train", "test")}
    (folder / "dogs").mkdir()
    for i, image in enumerate(IMAGES[:30]):
        Image.fromarray(image).save(folder / "dogs" / f"again_{i}.png")
        Image.fromarray(image[::-1]).save(folder / "dogs" / f"new_{i}.png")
    user_pictures._read.cache_clear()
    after = found(folder)
    for name, other in (("train", "test"), ("test", "train")):
        now = set(pictures_in(after.load(name)))
        assert sides[name] <= now
        assert not now & set(pictures_in(after.load(other)))
    share = user_pictures.held_out(RNG.integers(0, 256, (4_000, 3), np.uint8)).mean()
    assert share == pytest.approx(0.1, abs=4 * (0.09 / 4_000) ** 0.5)


def test_sizes_and_crops_are_what_was_asked_for(tmp_path):
    """A white square in the middle of a black strip survives the crop alone."""
    for i in range(24):
        strip = np.zeros((16, 48), np.uint8)
        strip[:, 16:32] = 255 - i
        Image.fromarray(strip).save(tmp_path / f"{i}.png")
    told = refusal(tmp_path, size=8)
    assert (
        "is 48×16 and --data.size 8 asks for a square: add --data.crop centre" in told
    )
    part = found(tmp_path, size=8, crop="centre")
    images = np.concatenate([part.load(s).arrays["image"] for s in ("train", "test")])
    assert images.shape == (24, 8, 8, 1)
    assert images.min() >= 255 - 23
    assert found(tmp_path).IMAGE_SHAPE == (16, 48, 1)


@pytest.mark.parametrize(
    ("pixels", "value_range"),
    [
        (IMAGES, None),
        (IMAGES.astype(np.float32) / 255, (0, 1)),
        (IMAGES / 127.5 - 1, (-1, 1)),
        (IMAGES.astype(np.int64), (0, 255)),
    ],
    ids=["bytes", "zero to one", "minus one to one", "integers"],
)
def test_arrays_of_a_declared_range_become_the_same_bytes(
    tmp_path, pixels, value_range
):
    labels = np.arange(60) % 7
    np.savez(tmp_path / "a.npz", x=pixels, y=labels)
    part = found(tmp_path / "a.npz", value_range=value_range)
    splits = [part.load(name) for name in ("train", "test")]
    assert pictures_in(*splits) == sorted(p.tobytes() for p in IMAGES)
    assert part.LABELS == 7
    np.save(tmp_path / "a.npy", pixels)
    alone = found(tmp_path / "a.npy", value_range=value_range)
    assert pictures_in(*map(alone.load, ("train", "test"))) == pictures_in(*splits)
    assert "label" not in alone.load("train").arrays


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_with_the_labels_beside_them(tmp_path, packed):
    def write(name, array):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        content = header + array.tobytes()
        name += ".gz" if packed else ""
        (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
        return tmp_path / name

    path = write("train-images-idx3-ubyte", IMAGES[..., 0])
    write("train-labels-idx1-ubyte", (np.arange(60) % 10).astype(np.uint8))
    part = found(path, features="digits")
    splits = [part.load(name) for name in ("train", "test")]
    assert pictures_in(*splits) == sorted(p.tobytes() for p in IMAGES[..., :1])
    assert part.LABELS == 10
    assert part.FEATURES == "digits"
    path.write_bytes(path.read_bytes()[:99])
    user_pictures._read.cache_clear()
    assert "is not a whole idx file" in refusal(path)


def test_a_folder_that_cannot_be_used_is_refused_with_the_file_and_the_way_out(folder):
    bad = folder / "cats" / "zz.png"
    Image.fromarray(IMAGES[0, :6]).save(bad)
    told = refusal(folder)
    assert "00.png is 12×12 in colour and zz.png 12×6 in colour" in told
    assert "--data.size N --data.crop centre" in told
    Image.fromarray(IMAGES[0, ..., 0]).save(bad)
    assert "zz.png 12×12 grey" in refusal(folder)
    bad.write_bytes(bad.read_bytes()[:60])
    assert "zz.png cannot be read" in refusal(folder)
    bad.write_text("no picture")
    assert "zz.png cannot be read" in refusal(folder)
    Image.fromarray(np.zeros((12, 12, 4), np.uint8)).save(bad)
    assert "zz.png is of kind RGBA" in refusal(folder)
    Image.fromarray(np.zeros((12, 12), np.uint16)).save(bad)
    assert "zz.png is of kind I;16" in refusal(folder)


def test_files_that_cannot_be_used_are_refused(tmp_path):
    assert "is not there: name a folder" in refusal(tmp_path / "nowhere")
    assert "holds no file ending in .png" in refusal(tmp_path)
    with pytest.raises(UserError, match=r"with --data\.path"):
        data.find(Data("images"))

    def saved(name, **arrays):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    unit = IMAGES.astype(np.float32) / 255
    told = refusal(saved("a.npz", x=unit))
    assert "holds float32 from 0 to 1: say which values are black and white" in told
    assert "uint8 from 0 to 1" in refusal(saved("b.npz", x=IMAGES % 2))
    told = refusal(saved("c.npz", x=unit), value_range=(0, 0.5))
    assert "outside --data.value-range 0 0.5" in told
    unit[3, 2, 1, 0] = np.nan
    assert "from nan to nan, outside" in refusal(
        saved("d.npz", x=unit), value_range=(0, 1)
    )
    assert "the first value must be the less" in refusal(
        saved("e.npz", x=IMAGES), value_range=(1, 0)
    )
    assert "with 1 or 3 channels" in refusal(saved("f.npz", x=IMAGES[..., [0, 1]]))
    assert "one array of pictures" in refusal(saved("g.npz", x=IMAGES, z=IMAGES))
    assert "holds 9 pictures: 20 or more" in refusal(saved("h.npz", x=IMAGES[:9]))
    same = found(saved("i.npz", x=np.repeat(IMAGES[:1], 40, axis=0)))
    with pytest.raises(UserError, match="too few of its 40 pictures differ"):
        [same.load(name) for name in ("train", "test")]
    damaged = tmp_path / "j.npz"
    damaged.write_bytes((tmp_path / "a.npz").read_bytes()[:500])
    assert "j.npz" in refusal(damaged)


def test_settings_of_pictures_are_refused_for_sets_that_have_none():
    with pytest.raises(
        UserError, match=r"--data\.size 8: digits has no size of its own"
    ):
        data.find(Data("digits", size=8))
    with pytest.raises(UserError, match=r"--data\.length 8: images has no length"):
        data.find(Data("images", length=8))


def test_a_set_that_tfds_has_prepared_is_read_with_its_own_split(tmp_path):
    """`digits` by its folder: the same pictures and labels, the same held out."""
    want = {name: digits.load(name, tmp_path) for name in ("train", "test")}
    place = tmp_path / "digits" / "1.0.0"
    part = found(place)
    assert (part.IMAGE_SHAPE, part.LABELS) == ((28, 28, 1), 10)
    for name, split in want.items():
        pairs = [
            sorted(
                (image.tobytes(), int(label))
                for image, label in zip(
                    one.arrays["image"], one.arrays["label"], strict=True
                )
            )
            for one in (split, part.load(name))
        ]
        assert pairs[0] == pairs[1]
    for file in place.glob("*train.array_record*"):
        file.write_bytes(file.read_bytes()[:1000])
    user_pictures._read.cache_clear()
    told = refusal(place)
    assert "cannot be read without TensorFlow" in told
    assert "array_record" in told
