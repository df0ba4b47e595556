"""MusicXML scores, read as notes: one list a part.

Of the format (MusicXML 4.0, score-partwise) this reads pitches and time: divisions,
durations, chords, several voices by backup and forward. Repeats are not played, grace
notes, which have no duration, are left out, and tied notes stay as they are written.
"""

import io
import zipfile
from fractions import Fraction
from typing import NamedTuple
from xml.etree import ElementTree

_TIMED = ("note", "backup", "forward")
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}  # semitones


class Note(NamedTuple):
    """A pitch that sounds from `start` until before `end`."""

    start: Fraction  # quarter notes since the beginning of the piece
    end: Fraction
    pitch: int  # MIDI number: 60 is the middle C


def read(content: bytes) -> list[list[Note]]:
    """The notes of each part of a score, plain (.xml) or compressed (.mxl).

    Raises:
      ValueError: not a score of this format.
    """
    try:
        if content[:2] == b"PK":
            content = _unpacked(content)
        score = ElementTree.fromstring(content)
        if score.tag != "score-partwise":
            raise ValueError(f"its root is {score.tag}, not score-partwise")
        return [_part(part) for part in score.iterfind("part")]
    except (ElementTree.ParseError, zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"no MusicXML ({error})") from error


def _unpacked(archive: bytes) -> bytes:
    """The score in an .mxl file, which META-INF/container.xml names."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        container = ElementTree.fromstring(opened.read("META-INF/container.xml"))
        # {*}: with and without the namespace of OASIS.
        root = container.find(".//{*}rootfile")
        if root is None:
            raise ValueError("its container names no score")
        return opened.read(root.attrib["full-path"])


def _part(part: ElementTree.Element) -> list[Note]:
    notes: list[Note] = []
    now, unit = Fraction(0), Fraction(1)  # unit: quarter notes of one division
    for measure in part.iterfind("measure"):
        furthest = onset = now
        for event in measure:
            if event.tag == "attributes":
                unit = 1 / Fraction(event.findtext("divisions") or 1 / unit)
            if event.tag not in _TIMED:
                continue
            length = Fraction(event.findtext("duration") or 0) * unit
            if event.tag == "backup":
                now -= length
            elif event.tag == "forward":
                now += length
            elif event.tag == "note":
                if event.find("chord") is None:
                    onset, now = now, now + length
                pitch = event.find("pitch")
                if pitch is not None and length:
                    notes.append(Note(onset, onset + length, _midi(pitch)))
            furthest = max(furthest, now)
        now = furthest  # a voice may end before its measure does
    return notes


def _midi(pitch: ElementTree.Element) -> int:
    octave = int(pitch.findtext("octave") or 0)
    # Semitones sharp; quarter tones, such as 0.5, go to the key below.
    alter = int(float(pitch.findtext("alter") or 0) // 1)
    return 12 * (octave + 1) + _STEPS[pitch.findtext("step") or ""] + alter
