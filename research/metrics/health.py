"""One word for how a run went, from the numbers that it logged.

  diverged     a logged number is not finite, or a loss is beyond 10⁶
  collapsed    at each of the last two checkpoints (or the only one) the samples are all
               but one: two of them differ by less than a quarter of what two real ones
               do, or they reach fewer than a twentieth of the classes that as many real
               ones reach
  d_saturated  over the last 500 steps (half the run, where it is shorter) D told real
               from generated in all but 5 of 1,000 pairs: its gradient teaches little.
               Not where its logits of both are equal but for rounding: a game at rest
  healthy      none of these

The first that holds, in that order. A GAN that has just begun draws one thing for a
while (a 28×28 DCGAN for its first 1,000 to 1,500 steps), so the word is about a run's
end; nothing is stopped by it.
"""

import math
from collections.abc import Sequence
from typing import Literal

Health = Literal["healthy", "collapsed", "diverged", "d_saturated"]

LOSSES = ("generator_loss", "discriminator_loss", "loss")
BEYOND = 1e6  # of a loss: WGAN's run to thousands in good runs
NARROW = 1 / 4  # of real samples' difference: one that wobbles about a single sample
FEW = 1 / 20  # of real samples' classes
WON = 0.995  # share of pairs that D tells apart
WON_FOR = 500  # steps
REST = 1e-9  # difference of mean logits: a game that comes to rest passes it at last
ROUNDING = 4 * 2.0**-23  # of a mean logit, its share: they are float32
LINES = 3  # logged in that time at least, or nothing is said


def verdict(history: Sequence[dict[str, float]]) -> Health:
    """The word for a run.

    Args:
      history: the lines of metrics.jsonl: `step` and, where they were logged, losses,
        `discriminator_accuracy` with `real_logit` and `fake_logit`, and at checkpoints
        `sample_diversity` and `sample_modes`, as shares of what real samples score.
    """
    if any(not math.isfinite(value) for line in history for value in line.values()):
        return "diverged"
    if any(abs(line.get(name, 0)) > BEYOND for line in history for name in LOSSES):
        return "diverged"
    checkpoints = [line for line in history if "sample_diversity" in line]
    if checkpoints and all(map(narrow, checkpoints[-2:])):
        return "collapsed"
    return "d_saturated" if _won(history) else "healthy"


def narrow(line: dict[str, float]) -> bool:
    """Whether a checkpoint's samples are all but one."""
    few = line.get("sample_modes", 1.0) < FEW
    return few or line["sample_diversity"] < NARROW


def _won(history: Sequence[dict[str, float]]) -> bool:
    lines = [line for line in history if "discriminator_accuracy" in line]
    if not lines:
        return False
    end = lines[-1]["step"]
    since = end - min(WON_FOR, end / 2)
    late = [line for line in lines if line["step"] > since]
    return len(late) >= LINES and all(map(_tells_apart, late))


def _tells_apart(line: dict[str, float]) -> bool:
    real, fake = line.get("real_logit", 1.0), line.get("fake_logit", 0.0)
    equal = max(REST, ROUNDING * max(abs(real), abs(fake)))
    return line["discriminator_accuracy"] >= WON and real - fake > equal
