"""Sentences follow the numbers: each test turns one number and reads the sentence."""

import numpy as np
import pytest

from research.metrics.measured import Measured
from research.reports import coverage, findings, longer
from research.reports.runs import Run
from research.reports.strengths import strengths

EPOCH = 60_000


def run(name="a", modes=None, pairs=None, frechet=None, **changes):
    """A finished run with only the numbers that are given."""
    metrics = {
        "modes_captured": modes and Measured(modes, 990, None, None, 5_000, "of 1,000"),
        "pair_distance": pairs and Measured(pairs, 0.36),
        "digit_frechet": frechet
        and Measured(frechet, 3.0, frechet - 5, frechet + 5, 5_000),
    }
    fields = {
        "name": name,
        "claim": "It was trained.",
        "family": "gan",
        "config": {"batch_size": 64, "steps": 1_000},
        "stamp": {},
        "history": [],
        "summary": {"verdict": "done", "steps": 1_000, "seconds": 60.0},
        "metrics": {key: value for key, value in metrics.items() if value},
        "medium": "pictures",
        "samples": None,
    }
    return Run(**fields | changes)


@pytest.mark.parametrize(
    ("modes", "pairs", "expected"),
    [
        (2, 0.01, True),
        (40, 0.35, True),  # 40 different pictures, and no more
        (600, 0.05, True),  # noise about one picture that confuses the classifier
        (60, 0.30, False),
        (900, 0.36, False),
        (None, 0.36, False),
        (None, None, None),
    ],
)
def test_a_run_collapsed_if_its_numbers_say_so(modes, pairs, expected):
    assert coverage.collapsed(run(modes=modes, pairs=pairs)) is expected


def test_the_headline_names_whoever_collapsed():
    one, many = {"modes": 2, "pairs": 0.01}, {"modes": 871, "pairs": 0.34}
    told = coverage.headline([run("a", **one), run("b", **many)])
    assert told == "a collapsed to 2 of 1,000 classes; b drew 871"
    told = coverage.headline([run("a", **many), run("b", **one)])
    assert told == "b collapsed to 2 of 1,000 classes; a drew 871"
    both = coverage.headline([run("a", **one), run("b", **one)])
    assert both == "a collapsed to 2 of 1,000 classes and b collapsed to 2"
    more = run("c", modes=930, pairs=0.35)
    none = coverage.headline([run("a", **many), more])
    assert none == "c drew 930 of 1,000 classes and a drew 871"


def test_the_headline_of_series_is_how_far_they_are_from_real_ones():
    def series(name, away, pairs=0.6):
        found = {
            "series_frechet": Measured(away, 0.083),
            "pair_distance": Measured(pairs, 0.62),
        }
        return run(name, medium="series", metrics=found)

    told = coverage.headline([series("b", 0.78), series("a", 0.23)])
    assert told == (
        "Whole series of a are 0.230 from real ones by Fréchet distance, of b 0.780 "
        "(real ones 0.0830)"
    )
    fallen = coverage.headline([series("b", 0.78), series("a", 9.0, pairs=0.01)])
    assert fallen == "a collapsed; b did not collapse"


def test_a_generator_that_shows_nothing_yet_has_not_collapsed():
    noise = np.random.default_rng(0).normal(127, 3, size=(25, 28, 28, 3))
    grey = run("a", modes=1, pairs=0.002, samples=noise.astype(np.uint8))
    other = run("b", modes=2, pairs=0.01)
    told = coverage.headline([grey, other])
    assert told == (
        "a drew nothing that can be seen and b collapsed to 2 of 1,000 classes"
    )
    assert coverage.verdict(grey) == "flat: nothing can be seen"
    assert coverage.verdict(other) == "collapsed: 2 of 1,000 classes"
    history = [{"step": 9, "discriminator_accuracy": 1.0}]
    assert "has much to learn" in longer.longer(grey._replace(history=history), EPOCH)


def test_the_headline_without_scored_pictures():
    accurate = run(metrics={"accuracy": Measured(0.9731)})
    told = coverage.headline([accurate])
    assert told == "a is right on 97.3\u00a0% of the held-out targets"
    assert coverage.headline([run()]) == "a: 1,000 steps"


def test_the_nearest_is_named_with_its_floor_and_those_level_with_it():
    runs = [run("a", frechet=400.0), run("b", frechet=90.0), run("c", frechet=97.0)]
    told = findings.likeness(runs)
    assert "b is 90 (85 to 95) away, 30 times the floor of 3" in told
    assert told.endswith("b and c cannot be told apart by it.")
    assert "a is 400 away" in told
    assert "told apart" not in findings.likeness(runs[:2])


def test_drawing_speed_is_compared():
    quick, slow = (
        run(name, summary={"draw_seconds": seconds, "seconds": 1.0, "steps": 1})
        for name, seconds in (("b", 0.3), ("a", 37.5))
    )
    told = findings.drawing([slow, quick])
    assert (
        told == "b draws 1,000 pictures in 300 ms; a takes 37.5 s, 120 times as long."
    )
    assert findings.drawing([quick, quick]).startswith("All draw")
    assert findings.drawing([run()]) == ""


def test_who_is_best_follows_intervals_and_closeness():
    def costs(draw, size):
        return {"draw_seconds": draw, "parameters": {"model": size}, "steps": 1}

    runs = [
        run("a", frechet=90.0, summary=costs(0.31, 100)),
        run("b", frechet=97.0, summary=costs(0.30, 900)),
        run("c", frechet=400.0, summary=costs(30.0, 500)),
    ]
    a, b = strengths(runs)
    assert a == (
        "a: nearest to real pictures (level with b), fastest to draw (level with b) "
        "and fewest parameters."
    )
    assert b.startswith("b: nearest to real pictures (level with a)")
    assert strengths(runs[:1]) == ()


def test_the_way_to_25_epochs():
    summary = {"steps": 1_000, "step_seconds": {"median": 0.1}}
    drawn = np.zeros((25, 28, 28, 3), np.uint8)
    told = longer.longer(run(summary=summary, samples=drawn), EPOCH)
    assert told == (
        "a: 64,000 pictures seen, 1.1 epochs; the article's 25 epochs are 23 times as "
        "many, 23,438 steps or about 39 min at this pace."
    )
    done = run(summary=summary | {"steps": 23_438}, samples=drawn)
    assert "no fewer than the article's 25" in longer.longer(done, EPOCH)
    assert longer.longer(done, None) == ""
    assert longer.longer(run(summary=summary), EPOCH) == ""


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (1, 0.9, "still fell"),
        (1, 0.999, "stood still"),
        (1, 1.1, "rose"),
        (-1, -1.1, "still fell"),  # a density's loss may be negative
        (-1, -1.001, "stood still"),
        (-1, -0.9, "rose"),
    ],
)
def test_the_trend_of_a_held_out_loss(first, last, words):
    history = [
        {"step": 100, "validation_loss": first},
        {"step": 200, "validation_loss": last},
    ]
    told = longer.longer(run(history=history), EPOCH)
    told = told.replace("\u2212", "-")
    assert f"held-out loss {words} between steps 100 and 200, from {first} to" in told


@pytest.mark.parametrize(
    ("accuracy", "modes", "words"),
    [
        (1.0, 2, "it has won, and more steps alone"),
        (1.0, 900, "the generator has much to learn"),
        (0.7, 2, "(a guess: 50\u00a0%), so the game was still open"),
    ],
)
def test_the_state_of_a_game(accuracy, modes, words):
    history = [{"step": i, "discriminator_accuracy": accuracy} for i in range(1, 30)]
    told = longer.longer(run(modes=modes, history=history), EPOCH)
    assert f"told {100 * accuracy:.0f}\u00a0% of the pairs apart" in told
    assert words in told


def test_a_run_that_did_not_finish_is_told():
    stopped = run(history=[{"step": 40}], summary={})
    assert findings.unfinished(stopped).startswith("a stands at step 40 of 1,000;")
    failed = run(summary={"verdict": "nan", "steps": 40})
    assert findings.unfinished(failed) == "a ended with a NaN after step 40."
    assert findings.unfinished(run()) == ""


def test_a_likelihood_is_told_with_who_has_none():
    exact = run("b", family="lstm", metrics={"bits_per_pixel": Measured(0.49)})
    told = findings.likelihood([run("a"), exact])
    assert told.startswith("b spends 0.490 bits on a held-out pixel, an exact")
    assert "a cannot give one" in told
    assert findings.likelihood([run("a")]) == ""
