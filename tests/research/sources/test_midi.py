"""MIDI files of piano rolls, there and back, and notes written by hand."""

import mido
import numpy as np
import pytest

from research.media import music
from research.sources import midi


def test_a_roll_comes_back_from_its_file(tmp_path):
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    piece = np.random.default_rng(seed).random((20, 88)) < 0.2
    piece[-1, 40] = True  # a file ends with its last note
    midi.write(piece, tmp_path / "a.mid", per_quarter=2)
    np.testing.assert_array_equal(midi.read(tmp_path / "a.mid", 2), piece)


def test_a_held_key_is_one_note_of_its_length(tmp_path):
    piece = np.zeros((5, 88), bool)
    piece[1:4, 39] = True  # the middle C, three quarters, after one of silence
    midi.write(piece, tmp_path / "a.mid")
    (track,) = mido.MidiFile(tmp_path / "a.mid").tracks
    notes = [m for m in track if not m.is_meta]
    assert [(m.type, m.note, m.time) for m in notes] == [
        ("note_on", 60, midi.TICKS),
        ("note_off", 60, 3 * midi.TICKS),
    ]


def test_a_note_of_no_velocity_is_an_end_and_drums_are_not_read(tmp_path):
    track = mido.MidiTrack(
        [
            mido.Message("note_on", note=60, velocity=9, time=0),
            mido.Message("note_on", note=35, velocity=9, channel=midi.DRUMS, time=0),
            mido.Message("note_on", note=60, velocity=0, time=96),
            mido.Message("note_off", note=35, channel=midi.DRUMS, time=0),
            mido.Message("note_on", note=62, velocity=9, time=96),
            mido.Message("note_off", note=62, time=96),
        ]
    )
    mido.MidiFile(ticks_per_beat=96, tracks=[track]).save(tmp_path / "a.mid")
    frames = midi.read(tmp_path / "a.mid")
    assert [np.flatnonzero(f).tolist() for f in frames] == [[39], [], [41]]


# A note of 2²⁸ − 1 ticks, each a quarter note: 88 keys of so many steps are 24 GB.
ENDLESS = (
    b"MThd\0\0\0\6\0\0\0\1\0\1MTrk\0\0\0\x0b\0\x90\x3c\x40\xff\xff\xff\x7f\x80\x3c\x40"
)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (ENDLESS, "it has 268,435,455 steps, and 20,000 can be read"),
        (b"", r"no MIDI file \(it ends too early\)"),
        (b"no music", "no MIDI file"),
        (b"MThd\0\0\0\6\0\0\0\0\1\0", "no note in it"),
        (b"MThd\0\0\0\6\0\0\0\0\0\0", "its quarter note has no ticks"),
    ],
)
def test_what_holds_no_music_or_no_end_is_refused(content, why, tmp_path):
    (tmp_path / "a.mid").write_bytes(content)
    with pytest.raises(ValueError, match=why):
        midi.read(tmp_path / "a.mid")


def test_samples_are_kept_as_a_picture_and_as_midi(tmp_path):
    pieces = np.zeros((2, 3, 88), bool)
    pieces[0, :, 10] = pieces[1, :, 20] = True
    music.write(pieces, tmp_path / "step.png", None)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["step.mid", "step.png"]
    played = midi.read(tmp_path / "step.mid")
    want = np.concatenate([pieces[0], np.zeros((music.REST, 88), bool), pieces[1]])
    np.testing.assert_array_equal(played, want)
