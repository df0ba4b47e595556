"""The chorales that ship in music21, against counts that its own parser gave."""

import jax
import numpy as np
import pytest

from research import data
from research.data import chorales
from research.encodings import notes
from research.experiment import Data


@pytest.fixture(scope="module")
def splits():
    return chorales.splits()


def test_they_are_those_that_music21_s_own_parser_reads(splits):
    pieces = [piece for split in splits.values() for piece in split]
    lengths = [len(piece) for piece in pieces]
    assert len(pieces) == 365
    assert (min(lengths), max(lengths), sum(lengths)) == (24, 193, 19_864)
    frames = np.concatenate(pieces)
    keys = frames.any(0).nonzero()[0] + 21
    assert (keys.min(), keys.max()) == (36, 81)
    assert frames.sum(1).mean() == pytest.approx(3.873, abs=5e-4)


def test_each_chord_can_be_written_note_by_note_and_read_back(splits):
    frames = np.concatenate([*splits["train"], *splits["test"]])
    falling = [np.flatnonzero(frame)[::-1] + 1 for frame in frames]
    written = np.asarray(jax.jit(notes.symbols)(frames))
    want = [[*chord, *[0] * (notes.VOICES - len(chord))] for chord in falling]
    np.testing.assert_array_equal(written, want)
    np.testing.assert_array_equal(jax.jit(notes.frames_of)(written), frames)


def test_no_chorale_is_on_both_sides_in_any_key(splits):
    kinds = {
        name: {chorales.without_key(piece) for piece in split}
        for name, split in splits.items()
    }
    assert not kinds["train"] & kinds["test"]
    assert len(kinds["train"] | kinds["test"]) == 362
    assert len(kinds["test"]) == 72  # a fifth


def test_a_piece_in_another_key_is_the_same_piece(splits):
    piece = splits["train"][0]
    higher = np.roll(piece, 3, axis=1)
    assert chorales.without_key(higher) == chorales.without_key(piece)
    assert chorales.without_key(piece[1:]) != chorales.without_key(piece)


def test_they_are_found_by_name_whole_or_in_windows():
    whole = data.find(Data("chorales")).load("test")
    assert whole.arrays["frames"].shape[2] == 88
    windows = data.find(Data("chorales", length=32))
    assert windows.length == 32
    assert windows.load("test").fingerprint != whole.fingerprint
