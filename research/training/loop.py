"""The one training loop: effects live here and nowhere else.

A run is a pure function of its experiment and the number of devices: the order of the
data and every key are folded from (seed, step), so a checkpoint of the state is all
that a resumed run needs. Several runs of one structure are trained at once, each with
its own record and checkpoints.
"""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from research.evaluation import Evaluator
from research.training import devices, layout, validation
from research.training.checkpoints import Checkpoints
from research.training.goodput import Goodput
from research.training.job import Job, state_like
from research.training.members import Members
from research.training.profiling import Profile
from research.training.progress import RunProgress
from research.training.record import Record
from research.training.resuming import resume
from research.training.saving import Saving
from research.training.stop import StopRequest

# Of one call of the compiled program: long beside the 0.1 ms that a call costs the
# host, short beside the seconds that a notice of preemption leaves.
CALL_SECONDS = 0.1


class Outcome(NamedTuple):
    """How a run ended."""

    verdict: str  # "done", "nan", "interrupted" or "preempted"
    step: int
    seconds: float  # of training, over all starts
    step_seconds: list[float]  # seconds a step, one for each log window of this start
    state: Any  # numpy arrays, without a device axis; the last finite one


class Run(NamedTuple):
    """One run of those that are trained at once."""

    job: Job
    record: Record
    checkpoints: Checkpoints
    evaluator: Evaluator


class Standing:
    """How far one run is."""

    def __init__(self, step: int, state: Any):
        self.step, self.state = step, state  # of the last finite state seen
        self.diverged = False


def train(
    name: str, runs: Sequence[Run], stop: StopRequest, goodput: Goodput
) -> list[Outcome]:
    """Trains from the newest common checkpoint, or from the start, to the last step.

    Args:
      name: for the progress bar.
      runs: of jobs that `population.alike` puts together.
      stop: set by signals while this runs.
      goodput: counts the time.
    """
    members = Members([run.job for run in runs])
    with goodput.during("saving"):
        kept = resume(name, [run.checkpoints for run in runs], state_like(runs[0].job))
    start, states = kept or (0, members.initial_states())
    before = max(run.record.rewind(start) for run in runs)
    experiment, workdir = runs[0].job.experiment, runs[0].record.workdir
    with (
        RunProgress(name, start, experiment.steps) as progress,
        Profile(experiment.profile, workdir / "profile") as profile,
        goodput.during("steps"),
    ):
        saving = Saving([run.checkpoints for run in runs], progress.say)
        effects = saving, goodput, profile
        training = _Training(runs, members, start, states, before, *effects)
        if start:
            progress.say(f"{name}: continues at step {start}")
        verdict = training.to_the_end(progress, stop)
    return [
        Outcome(
            "nan" if run.diverged else verdict,
            run.step,
            training.seconds,
            training.windows,
            run.state,
        )
        for run in training.standings
    ]


class _Training:
    """The running part of `train`: what changes from step to step."""

    def __init__(self, runs, members, start, states, before, saving, goodput, profile):
        self.runs: Sequence[Run] = runs
        self.members: Members = members
        self._saving: Saving = saving
        self._goodput: Goodput = goodput
        self._profile: Profile = profile
        self.standings = [Standing(start, state) for state in states]
        self.windows: list[float] = []
        self.step: int = start
        self._before = before
        self._began = time.perf_counter()
        self._window: tuple[int, float] | None = None  # step and time it began
        self._layout = layout.of(runs[0].job.experiment, len(runs))
        step, state = members.step(self._layout.ranks), members.stack(states)
        inputs = members.values, runs[0].job.train.arrays
        self._repeats = devices.repeats_well(step, self._layout.ranks, state, *inputs)
        self._compiled = self._layout.parallel(step, self._repeats)
        self._state = self._layout.state(state)
        self._inputs = self._layout.inputs(*inputs)

    @property
    def seconds(self) -> float:
        """Seconds of training over all starts of this run."""
        return self._before + time.perf_counter() - self._began

    def to_the_end(self, progress: RunProgress, stop: StopRequest) -> str:
        """Steps, logs and saves until the last step, a request to stop, or NaNs."""
        experiment = self.runs[0].job.experiment
        if stop.reason is not None:  # before anything was compiled
            return stop.reason
        self._profile.turn(self.step, self._state)
        while self.step < experiment.steps:
            metrics = self._advance()
            for line in self._profile.turn(self.step, self._state):
                progress.say(line)
            # Read once: a signal may fall anywhere below, and only a step that saw it
            # is saved. One that comes later is the next step's.
            reason = stop.reason
            last = self.step == experiment.steps
            if self.step % experiment.log_every == 0 or last:
                self._log(metrics, progress)
                if self._saving.is_due_again():
                    self._save(progress, validate=False)
            due = self.step % experiment.checkpoint_every == 0 or last
            if due or reason is not None:
                # A notice of preemption leaves seconds: out of turn it only saves.
                self._save(progress, validate=due)
                self._window = None
            if all(standing.diverged for standing in self.standings):
                return "nan"
            if reason is not None and not last:
                self._finish(progress)
                return reason
        self._finish(progress)
        return "done"

    def _advance(self) -> Any:
        """Makes one call of the compiled step, or of several steps at once."""
        count = self._steps_of_a_call()
        steps = (count,) if self._repeats else ()
        self._state, metrics = self._compiled(self._state, *steps, *self._inputs)
        self.step += count
        return metrics

    def _steps_of_a_call(self) -> int:
        """As many as fill CALL_SECONDS, none of them past one to log or to save."""
        # Several processes must all make the same calls, and their clocks differ.
        if not (self._repeats and self.windows) or jax.process_count() > 1:
            return 1
        experiment = self.runs[0].job.experiment
        every = experiment.log_every, experiment.checkpoint_every
        ahead = [n - self.step % n for n in every] + [experiment.steps - self.step]
        ahead += self._profile.ahead(self.step)
        return max(1, min(*ahead, int(CALL_SECONDS / self.windows[-1])))

    def _going(self, tree: Any) -> list[tuple[Run, Standing, Any]]:
        """The runs that have not diverged, each with its part of what a step gave."""
        parts = self.members.split(self._layout.fetch(tree))
        every = zip(self.runs, self.standings, parts, strict=True)
        return [found for found in every if not found[1].diverged]

    def _log(self, metrics: Any, progress: RunProgress) -> None:
        now = time.perf_counter()
        if self._window is not None:
            first, began = self._window
            self.windows.append((now - began) / (self.step - first))
        self._window = (self.step, now)
        shown = {}
        for run, standing, part in self._going(metrics):
            values = {name: float(value) for name, value in part.items()}
            run.record.metrics(self.step, self.seconds, values)
            standing.diverged = not all(map(math.isfinite, values.values()))
            shown = shown or values
        rate = 1 / self.windows[-1] if self.windows else None
        progress.update(self.step, rate, shown)

    def _save(self, progress: RunProgress, validate: bool) -> None:
        """Saves every run whose numbers are all finite; evaluates and draws it."""
        self._saving.begin()
        jax.block_until_ready(self._state)  # steps: what follows is no part of them
        with self._goodput.during("saving"):
            for run, standing, state in self._going(self._state):
                standing.diverged = not finite(state)
                if not standing.diverged:
                    standing.step, standing.state = self.step, state
                    self._saving.save(run.checkpoints, self.step, state)
                    if validate:
                        self._validate(run, state, progress)

    def _finish(self, progress: RunProgress) -> None:
        """Waits until the last state is committed.

        Raises:
          UserError: it cannot be saved.
        """
        with self._goodput.during("saving"):
            self._saving.finish(lambda: self._save(progress, validate=False), self.step)

    def _validate(self, run: Run, state: Any, progress: RunProgress) -> None:
        now = self.step, self.seconds, state
        with self._goodput.during("evaluation"):
            shown = validation.held_out(run.record, run.evaluator, *now)
            if shown and len(self.runs) == 1:
                progress.say(f"{run.job.name}  step {self.step}  {shown}")
            validation.samples(run.job, run.record, run.evaluator, *now)


def finite(tree: Any) -> bool:
    """Whether every number of a tree of numpy arrays is finite."""
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))
