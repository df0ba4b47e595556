"""What a page says in words: sentences chosen by comparing numbers.

Each function returns its sentences, none where the numbers that they need were not
measured. Nothing is said of a run that its own files do not show.
"""

from typing import NamedTuple

from research.metrics.measured import Measured
from research.reports import coverage, overlap
from research.reports.kinds import KINDS
from research.reports.longer import longer
from research.reports.numbers import duration, listing, number, span, times
from research.reports.runs import Run
from research.reports.strengths import CLOSE, LIKELIHOODS, strengths

COPIED = 0.6  # the copying test's low end, beyond which copies are spoken of


class Finding(NamedTuple):
    """Lines under a word of their own."""

    topic: str
    lines: tuple[str, ...]


def findings(runs: list[Run], epoch: int | None) -> list[Finding]:
    """All that the numbers allow to be said.

    Args:
      runs: of the page.
      epoch: pictures in an epoch of the data that they were trained on, if known.
    """
    said = [
        Finding("Who is best at what", strengths(runs)),
        Finding("Variety", coverage.finding(runs)),
        Finding("Likeness", (likeness(runs), *map(overlap.finding, runs))),
        Finding("Copies", tuple(map(copies, runs))),
        Finding("Likelihood", (likelihood(runs),)),
        Finding("Drawing", (drawing(runs),)),
        Finding("Training", tuple(map(training, runs))),
        Finding("A longer run", tuple(longer(run, epoch) for run in runs)),
        Finding("Not finished", tuple(map(unfinished, runs))),
    ]
    kept = [Finding(topic, tuple(filter(None, lines))) for topic, lines in said]
    return [finding for finding in kept if finding.lines]


def likeness(runs: list[Run]) -> str:
    """Whose samples are nearest to real ones."""
    names = [name for name in KINDS if name.endswith("_frechet")]
    name = next((n for n in names if any(n in run.metrics for run in runs)), None)
    if name is None:
        return ""
    title = KINDS[name].title
    scored = [(run.metrics[name], run.name) for run in runs if name in run.metrics]
    scored.sort(key=lambda pair: pair[0].value)
    (first, best), *others = scored
    text = f"{best} is {number(first.value)}{_interval(first.low, first.high)} away"
    if first.floor:
        ratio = times(first.value / first.floor)
        text += f", {ratio} the floor of {number(first.floor)} that real ones score"
    rest = [f"{other} is {number(measured.value)} away" for measured, other in others]
    text = "; ".join([text, *rest])
    if not title.isupper() and not title.startswith("Fréchet"):
        title = title[0].lower() + title[1:]
    text = f"By {title} from real {runs[0].called}, {text}."
    level = [other for measured, other in others if _reaches(measured, first)]
    if level:
        text += f" {listing([best, *level])} cannot be told apart by it."
    return text


def copies(run: Run) -> str:
    """Whether a run repeats its training data."""
    test = run.metrics.get("copying")
    if test is None or test.low is None or test.high is None:
        return ""
    share = f"{100 * test.value:.0f}\u00a0%"
    text = f"a sample is nearer to the training data than a held-out one in {share}"
    if test.low > COPIED:
        told = f"{text} of pairs: it repeats training examples"
    elif test.high < 1 - COPIED:
        told = f"{text} of pairs: it lies off the data, and copies nothing"
    else:
        told = f"{text} of pairs, by chance 50\u00a0%: no sign of copying"
    return f"{run.name}: {told}."


def likelihood(runs: list[Run]) -> str:
    """What a held-out pixel, byte or frame costs, and who cannot say."""
    told = [
        f"{run.name} spends {number(cost.value)} {unit}"
        f"{_interval(cost.low, cost.high)} on a held-out {target}"
        for run in runs
        for name, (unit, target) in LIKELIHOODS.items()
        if (cost := run.metrics.get(name)) is not None
    ]
    if not told:
        return ""
    without = [run.name for run in runs if run.family == "gan"]
    text = f"{listing(told)}, an exact likelihood"
    if without:
        text += f"; {listing(without)} cannot give one, as no GAN can"
    return f"{text}."


def drawing(runs: list[Run]) -> str:
    """How long 1,000 samples take."""
    timed = [(run.summary.get("draw_seconds"), run.name) for run in runs]
    timed = sorted((seconds, name) for seconds, name in timed if seconds)
    if not timed:
        return ""
    (fast, name), (slow, last) = timed[0], timed[-1]
    many = f"1,000 {runs[0].called}"
    if len(timed) == 1:
        return f"{name} draws {many} in {duration(fast)}."
    if slow / fast < CLOSE:
        return f"All draw {many} in about {duration(fast)}."
    return (
        f"{name} draws {many} in {duration(fast)}; {last} takes "
        f"{duration(slow)}, {times(slow / fast)} as long."
    )


def training(run: Run) -> str:
    """Steps, seconds and size of one run."""
    if not run.summary:
        return ""
    text = f"{run.name}: {run.steps:,} steps in {duration(run.summary['seconds'])}"
    pace = run.summary.get("step_seconds")
    if pace:
        text += f", {duration(pace['median'])} each"
    size = sum(run.summary.get("parameters", {}).values())
    return f"{text}; {size:,} parameters."


def unfinished(run: Run) -> str:
    """Why a run's final numbers are missing; empty where they are not."""
    verdict = run.summary.get("verdict", "interrupted")
    if verdict == "done":
        return ""
    if verdict == "nan":
        return f"{run.name} ended with a NaN after step {run.steps:,}."
    planned = run.config.get("steps")
    goal = f" of {planned:,}" if planned else ""
    return f"{run.name} stands at step {run.steps:,}{goal}; train it again to go on."


def _reaches(worse: Measured, best: Measured) -> bool:
    """Whether the interval of a larger value overlaps that of the smallest."""
    low = worse.value if worse.low is None else worse.low
    high = best.value if best.high is None else best.high
    return low <= high


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({span(low, high)})"
