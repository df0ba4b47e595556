"""What a longer run would need, from what this one logged."""

import numpy as np

from research.reports.coverage import collapsed, flat
from research.reports.numbers import brief, number, roughly, times
from research.reports.runs import Run

ARTICLE_EPOCHS = 25  # of the article's own training
TAIL = 0.1  # of the log lines, over which the end of a run is averaged
STILL_FALLING = 0.01  # share by which a held-out loss must fall to be called falling
WON = 0.98  # share of pairs that a discriminator tells apart when it has won


def longer(run: Run, epoch: int | None) -> str:
    """How far the run came, where it was heading and what the rest would take.

    Args:
      run: with its log.
      epoch: pictures in an epoch, if known.
    """
    said = [_way_to_go(run, epoch), _trend(run) or _game(run)]
    text = " ".join(filter(None, said))
    return f"{run.name}: {text[0].lower()}{text[1:]}" if text else ""


def _way_to_go(run: Run, epoch: int | None) -> str:
    pace = run.summary.get("step_seconds")
    batch = run.config.get("batch_size")
    # The article's epochs are a yardstick for what draws pictures only.
    if not (epoch and pace and batch and run.steps) or run.pictures is None:
        return ""
    seen = run.steps * batch
    text = f"{seen:,} pictures seen, {brief(seen / epoch)} epochs"
    left = ARTICLE_EPOCHS * epoch / seen
    if left <= 1:
        return f"{text}, no fewer than the article's {ARTICLE_EPOCHS}."
    steps = -(-ARTICLE_EPOCHS * epoch // batch)
    return (
        f"{text}; the article's {ARTICLE_EPOCHS} epochs are {times(left)} as many, "
        f"{steps:,} steps or {roughly(steps * pace['median'])} at this pace."
    )


def _trend(run: Run) -> str:
    """Whether the held-out loss was still falling at the end."""
    steps, losses = run.series("validation_loss")
    if len(losses) < 2:
        return ""
    first, last = losses[-2:]
    change = f"from {number(first)} to {number(last)} nats a target"
    where = f"between steps {steps[-2]:,} and {steps[-1]:,}"
    enough = STILL_FALLING * abs(first)  # a density's loss may be negative
    if last < first - enough:
        return f"Its held-out loss still fell {where}, {change}: it was not done."
    if last > first + enough:
        return f"Its held-out loss rose {where}, {change}: it needs no more steps."
    return f"Its held-out loss stood still {where}, {change}."


def _game(run: Run) -> str:
    """Where the two networks of a GAN stood at the end."""
    _, accuracy = run.series("discriminator_accuracy")
    if not accuracy:
        return ""
    end = float(np.mean(accuracy[-max(1, int(len(accuracy) * TAIL)) :]))
    share = f"{100 * end:.0f}\u00a0%"
    text = f"At the end its discriminator told {share} of the pairs apart"
    if end < WON:
        return f"{text} (a guess: 50\u00a0%), so the game was still open."
    if collapsed(run) and not flat(run):
        return f"{text}: it has won, and more steps alone would go on with a lost game."
    return f"{text}: the generator has much to learn yet."
