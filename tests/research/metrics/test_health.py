"""The word for a run, on records of runs that went each of the four ways."""

import math

import pytest

from research.metrics import health


def history(accuracy=0.8, diversity=0.9, modes=0.6, loss=0.7, steps=2_000):
    """A run logged every 20 steps with a checkpoint every 500; values or functions."""

    def at(value, step):
        return value(step) if callable(value) else value

    lines = []
    for step in range(20, steps + 1, 20):
        line = {"step": step, "seconds": step / 10, "generator_loss": at(loss, step)}
        lines.append(line | {"discriminator_accuracy": at(accuracy, step)})
        if step % 500 == 0:
            shares = {"sample_diversity": at(diversity, step)}
            lines.append({"step": step, "seconds": step / 10} | shares)
            if modes is not None:
                lines[-1]["sample_modes"] = at(modes, step)
    return lines


def early(step):
    """One picture for 1,500 steps, as a DCGAN's first epochs are."""
    return 0.01 if step <= 1_500 else 0.8


CASES = {
    "steady": ({}, "healthy"),
    "a hard game": ({"accuracy": 0.97}, "healthy"),
    "a slow start": ({"diversity": early, "modes": early}, "healthy"),
    "a large WGAN loss": ({"loss": -4_000.0}, "healthy"),
    "no classes known": ({"modes": None}, "healthy"),
    "one point": ({"diversity": 0.0, "modes": 0.0045}, "collapsed"),
    "a wobble about one": ({"diversity": 0.2, "modes": 0.3}, "collapsed"),
    "few classes": ({"diversity": 0.9, "modes": 0.03}, "collapsed"),
    "a collapse at the end": (
        {"diversity": lambda step: 0.9 if step < 1_500 else 0.02},
        "collapsed",
    ),
    "a NaN": ({"loss": lambda step: math.nan if step == 900 else 1.0}, "diverged"),
    "an infinity": ({"loss": math.inf}, "diverged"),
    "a loss without bounds": ({"loss": lambda step: 1.01**step}, "diverged"),
    "D won": ({"accuracy": 1.0}, "d_saturated"),
    "D won and one point": ({"accuracy": 1.0, "diversity": 0.0}, "collapsed"),
    "D won for a while": (
        {"accuracy": lambda step: 1.0 if 800 < step < 1_800 else 0.9},
        "healthy",
    ),
    "D won of late": ({"accuracy": lambda s: 1.0 if s > 1_450 else 0.8}, "d_saturated"),
}


@pytest.mark.parametrize(("what", "word"), CASES.values(), ids=CASES)
def test_a_record_has_its_word(what, word):
    assert health.verdict(history(**what)) == word


@pytest.mark.parametrize(
    ("real", "apart", "word"),
    [
        (0.0, 1e-6, "d_saturated"),
        (0.0, 1e-12, "healthy"),
        (0.5, 1e-6, "d_saturated"),
        (0.5, 2.0**-25, "healthy"),  # the next float32 below: lsgan rests at ½
        (-0.5, 2.0**-25, "healthy"),
    ],
)
def test_a_game_at_rest_is_not_one_that_d_has_won(real, apart, word):
    """The last digits of its logits may be of one sign for long."""
    lines = history(accuracy=1.0)
    logits = {"real_logit": real, "fake_logit": real - apart}
    assert health.verdict([line | logits for line in lines]) == word


def test_short_runs_and_those_without_a_game():
    assert health.verdict([]) == "healthy"
    assert health.verdict([{"step": 5, "loss": 1.0}]) == "healthy"
    assert health.verdict(history(accuracy=1.0, steps=60)) == "healthy"  # 2 lines late
    assert health.verdict(history(accuracy=1.0, steps=200)) == "d_saturated"
    one = [{"step": 100, "sample_diversity": 0.1}]
    assert health.verdict(one) == "collapsed"
