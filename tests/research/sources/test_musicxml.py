"""MusicXML: notes and times of a score written by hand."""

import io
import zipfile
from fractions import Fraction

import pytest

from research.sources.musicxml import Note, read


def note(step, octave, duration, extra=""):
    pitch = f"<pitch><step>{step}</step>{extra}<octave>{octave}</octave></pitch>"
    return f"<note>{pitch}<duration>{duration}</duration></note>"


REST = "<note><rest/><duration>2</duration></note>"
CHORD = note("E", 4, 2).replace("<note>", "<note><chord/>")
GRACE = "<note><grace/><pitch><step>D</step><octave>4</octave></pitch></note>"
SHARP, FLAT = "<alter>1</alter>", "<alter>-1</alter>"
SCORE = f"""<?xml version="1.0"?>
<score-partwise><part-list/>
<part id="P1">
 <measure><attributes><divisions>2</divisions></attributes>
  {note("C", 4, 2)}{CHORD}<direction><duration>9</duration></direction>{GRACE}
  {note("F", 4, 1, SHARP)}
  <backup><duration>3</duration></backup>
  <forward><duration>1</duration></forward>{note("A", 3, 1)}
 </measure>
 <measure>{REST}{note("B", 2, 1, FLAT)}</measure>
 <measure><attributes><divisions>3</divisions></attributes>{note("G", 4, 1)}</measure>
</part>
<part id="P2"><measure>{note("C", 2, 4)}</measure></part>
</score-partwise>"""


def test_chords_voices_rests_and_divisions_have_their_times():
    half = Fraction(1, 2)
    first, second = read(SCORE.encode())
    assert first == [
        Note(0 * half, 2 * half, 60),
        Note(0 * half, 2 * half, 64),  # with the one before
        Note(2 * half, 3 * half, 66),  # F sharp; the grace note takes no time
        Note(half, 2 * half, 57),  # the second voice, an eighth late
        Note(5 * half, 6 * half, 46),  # the measure is as long as its longest voice
        Note(6 * half, 6 * half + Fraction(1, 3), 67),
    ]
    assert second == [Note(0 * half, Fraction(4), 36)]


def test_a_compressed_score_is_the_same():
    container = '<container xmlns="urn:x"><rootfiles><rootfile full-path="a.xml"/>'
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("b.xml", "<other/>")
        archive.writestr("a.xml", SCORE)
        archive.writestr(
            "META-INF/container.xml", container + "</rootfiles></container>"
        )
    assert read(stream.getvalue()) == read(SCORE.encode())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<score-timewise/>", "score-timewise, not score-partwise"),
        (b"nothing", "no MusicXML"),
        (b"PK nothing", "no MusicXML"),
    ],
)
def test_what_is_no_score_is_refused(content, reason):
    with pytest.raises(ValueError, match=reason):
        read(content)
