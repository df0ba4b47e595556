"""Piano rolls as MIDI files, and MIDI files as piano rolls."""

from fractions import Fraction
from pathlib import Path

import mido
import numpy as np

from research.sources.musicxml import Note
from research.sources.piano_rolls import LOWEST, roll

TICKS = 480  # of a quarter note
TEMPO = 500_000  # microseconds of a quarter note: 120 a minute, MIDI's default
VELOCITY = 80  # of all notes; 64 is middling
DRUMS = 9  # the channel whose numbers are no pitches


def write(piece: np.ndarray, file: Path, per_quarter: int = 1) -> None:
    """A piece as a MIDI file; a key that goes on sounding is one long note.

    Args:
      piece: bool [steps, keys].
      file: where.
      per_quarter: steps of a quarter note.
    """
    silence = np.zeros((1, piece.shape[1]), np.int8)
    change = np.diff(np.concatenate([silence, piece.astype(np.int8), silence]), axis=0)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=TEMPO)])
    told = 0  # ticks of the last message
    for step, row in enumerate(change):
        # Ends before beginnings, so that a repeated key would be struck again.
        for kind, sign in (("note_off", -1), ("note_on", 1)):
            for key in np.flatnonzero(row == sign):
                now = step * TICKS // per_quarter
                pitch = LOWEST + int(key)
                track.append(
                    mido.Message(kind, note=pitch, velocity=VELOCITY, time=now - told)
                )
                told = now
    mido.MidiFile(ticks_per_beat=TICKS, tracks=[track]).save(file)


def read(file: Path, per_quarter: int = 1) -> np.ndarray:
    """The keys that sound in a MIDI file, bool [steps, 88]; drums are left out.

    Raises:
      ValueError: no MIDI file, one without notes, or as `roll`.
    """
    try:
        opened = mido.MidiFile(file)
        notes = [note for track in opened.tracks for note in _notes(track)]
        quarter = opened.ticks_per_beat
        if quarter < 1:
            raise ValueError("its quarter note has no ticks")
    except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
        why = str(error) or "it ends too early"  # EOFError says nothing
        raise ValueError(f"no MIDI file ({why})") from error
    if not notes:
        raise ValueError("no note in it")
    return roll(
        (
            Note(Fraction(a, quarter), Fraction(b, quarter), pitch)
            for a, b, pitch in notes
        ),
        per_quarter,
    )


def _notes(track: mido.MidiTrack) -> list[tuple[int, int, int]]:
    """(first tick, last tick, pitch) of each note of a track."""
    found, begun, now = [], {}, 0
    for message in track:
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == DRUMS:
            continue
        place = message.channel, message.note
        start = begun.pop(place, None)
        if start is not None:
            found.append((start, now, message.note))
        if message.type == "note_on" and message.velocity:
            begun[place] = now
    return found
