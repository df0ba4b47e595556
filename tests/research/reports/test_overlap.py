"""What is said of shared n-grams follows the numbers."""

import pytest

from research.metrics.measured import Measured
from research.reports import findings, overlap
from research.reports.runs import Run


def plain(told):
    """With the spaces that a keyboard has."""
    return told.replace("\u00a0", " ")


def run(name, medium="text", family="lstm", **metrics):
    """A run with a value and a floor for each metric."""
    found = {m: Measured(v, floor, v, v, 100) for m, (v, floor) in metrics.items()}
    return Run(name, "", family, {}, {}, [], {}, found, medium, None)


def test_the_headline_is_of_words_where_there_are_any():
    gan = run("gan", known_words=(0.04, 0.97), ngram_precision=(0.2, 0.95))
    lstm = run("lstm", known_words=(0.62, 0.97), ngram_precision=(0.7, 0.95))
    told = plain(overlap.headline([gan, lstm]))
    assert told == (
        "Of what lstm drew, 62 % of the words occur in real text, of gan's 4 % "
        "(of real data 97 %)"
    )
    silent = run("gan", ngram_precision=(0.0, 0.95))
    assert "; gan drew none (" in overlap.headline([silent, lstm])
    music = run("b", "music", progression_precision=(0.0009, 0.8))
    assert "0.09 % of the progressions occur in real music" in plain(
        overlap.headline([music])
    )
    assert overlap.headline([run("digits", "pictures", modes_captured=(7, 9))]) is None


@pytest.mark.parametrize(("value", "more"), [(0.5, False), (0.54, False), (0.6, True)])
def test_repetition_is_told_from_a_tenth_above_real(value, more):
    told = plain(
        overlap.finding(run("a", self_bleu=(value, 0.5), ngram_recall=(0.3, 0.6)))
    )
    assert ("itself more than real" in told) == more
    assert "30 % of the real ones (real data: 60 %)" in told
    assert overlap.finding(run("digits", "pictures")) == ""


def test_likelihoods_are_told_in_their_unit_and_likeness_of_the_medium():
    gan = run("gan", family="gan", pair_frechet=(9.0, 2.0))
    lstm = run("lstm", bits_per_byte=(2.5, None), pair_frechet=(4.0, 2.0))
    assert findings.likelihood([gan, lstm]) == (
        "lstm spends 2.50 bits (2.50 to 2.50) on a held-out byte, an exact likelihood; "
        "gan cannot give one, as no GAN can."
    )
    assert "from real texts, lstm is 4 (4 to 4) away, 2 times" in findings.likeness(
        [gan, lstm]
    )
    chorale = run("c", "music", frame_nats_chung=(9.0, None))
    assert "9 nats (9 to 9) on a held-out frame" in findings.likelihood([chorale])
    days = run("d", "series", step_nats=(-6.4, None), series_frechet=(1.0, 0.5))
    assert "\u22126.40 nats (\u22126.40 to" in findings.likelihood([days])
    assert findings.likeness([days]).startswith("By Fréchet distance of whole series")
