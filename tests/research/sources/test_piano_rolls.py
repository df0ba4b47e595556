"""Piano rolls: frames of notes, padded pieces and windows."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.errors import UserError
from research.sources.musicxml import Note
from research.sources.piano_rolls import PianoRolls, roll

LENGTHS = (5, 9, 7)


def pieces():
    """Frame t of piece p has key 10 p + t alone."""
    found = []
    for number, length in enumerate(LENGTHS):
        piece = np.zeros((length, 88), bool)
        piece[np.arange(length), 10 * number + np.arange(length)] = True
        found.append(piece)
    return found


def read():
    return {"train": pieces(), "test": pieces()[:1]}


def test_a_key_sounds_in_the_frames_that_begin_while_its_note_does():
    third = Fraction(1, 3)
    notes = [
        Note(0 * third, 3 * third, 21),  # the lowest key, the first quarter
        Note(2 * third, 6 * third, 108),  # the highest, from before the second on
        Note(4 * third, 5 * third, 60),  # between two frames
    ]
    frames = roll(notes)
    assert frames.shape == (2, 88)
    assert {tuple(place) for place in np.argwhere(frames)} == {(0, 0), (1, 87)}
    finer = roll(notes, per_quarter=3)
    assert [row.nonzero()[0].tolist() for row in finer] == [
        [0], [0], [0, 87], [87], [39, 87], [87]
    ]  # fmt: skip
    with pytest.raises(ValueError, match="pitch 109 is none"):
        roll([Note(0 * third, third, 109)])


def test_whole_pieces_are_silent_past_their_end_and_come_once_an_epoch():
    rolls = PianoRolls("some", read)
    split = rolls.load("train")
    batch = rolls.batch(split.arrays, 3, jnp.arange(3, dtype=jnp.uint32))
    assert sorted(batch["lengths"].tolist()) == sorted(LENGTHS)
    for frames, length in zip(batch["frames"], batch["lengths"], strict=True):
        want = pieces()[LENGTHS.index(int(length))]
        np.testing.assert_array_equal(frames[:length], want)
        assert not frames[length:].any()


def test_windows_come_from_every_place_that_holds_them():
    rolls = PianoRolls("some", read, length=7)
    split = rolls.load("train")
    positions = jnp.arange(300, dtype=jnp.uint32)
    batch = jax.jit(rolls.batch)(split.arrays, jnp.uint32(0), positions)
    starts = {length: set() for length in (5, 7)}
    for frames, length, block in zip(
        batch["frames"], batch["lengths"], batch["block"], strict=True
    ):
        assert frames.shape == (7, 88)
        first = int(frames[0].argmax())
        assert block == first // 10  # the piece
        keys = frames[:length].argmax(1) - first
        np.testing.assert_array_equal(keys, np.arange(length))
        assert not frames[length:].any()
        starts[int(length)].add(first)
    assert starts == {5: {0}, 7: {10, 11, 12, 20}}  # whole, three places, whole


@pytest.mark.parametrize("length", [1, 10])
def test_a_window_that_no_piece_fills_is_refused(length):
    with pytest.raises(
        UserError, match=f"length {length}: windows of some have 2 to 9"
    ):
        PianoRolls("some", read, length=length).load("train")
