"""The one training loop: effects live here and nowhere else.

A run is a pure function of its experiment and the number of devices: the order of the
data and every key are folded from (seed, step), so a checkpoint of the state is all
that a resumed run needs. Several runs of one structure are trained at once, each with
its own record and checkpoints.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax

from research.training import not_finite, processes, validation
from research.training.diverged import Diverged, finite
from research.training.goodput import Goodput
from research.training.profiling import Profile
from research.training.program import Program
from research.training.progress import RunProgress
from research.training.resuming import go_on
from research.training.runs import Outcome, Run, Standing
from research.training.saving import Saving
from research.training.stop import StopRequest

# Of one call of the compiled program: long beside the 0.1 ms that a call costs the
# host, short beside the seconds that a notice of preemption leaves.
CALL_SECONDS = 0.1


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
    experiment, workdir = runs[0].job.experiment, runs[0].record.workdir
    with (
        RunProgress(name, experiment.steps) as progress,
        Profile(experiment.profile, workdir / "profile") as profile,
        goodput.during("steps"),
    ):
        saving = Saving([run.checkpoints for run in runs], progress.say)
        effects = saving, goodput, profile
        training = _Training(runs, go_on(name, runs, goodput), *effects)
        if training.step:
            progress.say(f"{name}: continues at step {training.step}")
        verdict = training.to_the_end(progress, stop)
        tries: Counter[int] = Counter()  # by the step that a rewind went to
        while verdict == "nan" and experiment.on_nan == "rewind":
            back = training.standings[0].step
            if tries[back] == not_finite.REWINDS:
                break
            tries[back] += 1
            start = go_on(name, runs, goodput, training.rewinds + 1)
            progress.say(
                f"{name}: not finite at step {training.step}; back to step "
                f"{start.step} and on in another order, the {start.rewinds}. time"
            )
            training = _Training(runs, start, *effects)
            verdict = training.to_the_end(progress, stop)
    return [
        Outcome(
            "nan" if run.diverged else verdict,
            run.step,
            training.seconds,
            training.windows,
            training.host_shares,
            run.state,
            run.skipped,
            training.rewinds,
        )
        for run in training.standings
    ]


class _Training:
    """The running part of `train`: what changes from step to step."""

    def __init__(self, runs, start, saving, goodput, profile):
        self.runs: Sequence[Run] = runs
        self.rewinds: int = start.rewinds
        jobs = [run.job for run in runs]
        if start.rewinds:
            jobs = [not_finite.in_another_order(job, start.rewinds) for job in jobs]
        self._saving: Saving = saving
        self._goodput: Goodput = goodput
        self._profile: Profile = profile
        self.standings = start.standings
        self._diverged = Diverged(runs, start.standings)
        self.windows: list[float] = []
        self.host_shares: list[float] = []
        self.step: int = start.step
        self._before: float = start.seconds
        self._began = time.perf_counter()
        # Step and time it began, and how long batches were waited for by then.
        self._window: tuple[int, float, float] | None = None
        self._agreement = processes.Agreement()
        self._program = Program(jobs, start.standings, start.step, goodput)

    @property
    def seconds(self) -> float:
        """Seconds of training over all starts of this run."""
        return self._before + time.perf_counter() - self._began

    def to_the_end(self, progress: RunProgress, stop: StopRequest) -> str:
        """Steps, logs and saves until the last step, a request to stop, or NaNs."""
        experiment = self.runs[0].job.experiment
        if reason := processes.asked(stop.reason):  # before anything was compiled
            return reason
        self._complete()
        self._profile.turn(self.step, self._program.state)
        while self.step < experiment.steps:
            metrics = self._advance()
            for line in self._profile.turn(self.step, self._program.state):
                progress.say(line)
            # Read once: a signal may fall anywhere below, and only a step that saw it
            # is saved. One that comes later is the next step's.
            reason = self._agreement(stop.reason)
            last = self.step == experiment.steps
            if self.step % experiment.log_every == 0 or last:
                self._log(metrics, progress)
                if self._saving.is_due_again():
                    self._save_standings()
            due = self.step % experiment.checkpoint_every == 0 or last
            if due or reason is not None:
                # A notice of preemption leaves seconds: out of turn it only saves.
                self._save(progress, validate=due)
                self._window = None
            self._diverged.keep(self._program, self.rewinds, self.step, progress)
            if all(standing.diverged for standing in self.standings):
                self._finish(reason)
                return "nan"
            if reason is not None and not last:
                self._finish(reason)
                return reason
        self._finish(stop.reason)
        return "done"

    def _advance(self) -> Any:
        """Makes one call of the compiled step, or of several steps at once."""
        count = self._steps_of_a_call()
        metrics = self._program.advance(count)
        self.step += count
        return metrics

    def _steps_of_a_call(self) -> int:
        """As many as fill CALL_SECONDS, none of them past one to log or to save."""
        # Several processes must all make the same calls, and their clocks differ.
        if not (self._program.repeats and self.windows) or jax.process_count() > 1:
            return 1
        experiment = self.runs[0].job.experiment
        every = experiment.log_every, experiment.checkpoint_every
        ahead = [n - self.step % n for n in every] + [experiment.steps - self.step]
        ahead += self._profile.ahead(self.step)
        return max(1, min(*ahead, int(CALL_SECONDS / self.windows[-1])))

    def _going(self, tree: Any) -> list[tuple[Run, Standing, Any]]:
        """The runs that have not diverged, each with its part of what a step gave."""
        parts = self._program.parts(tree)
        every = zip(self.runs, self.standings, parts, strict=True)
        return [found for found in every if not found[1].diverged]

    def _log(self, metrics: Any, progress: RunProgress) -> None:
        now, feed = time.perf_counter(), self._program.feed
        if self._window is not None:
            first, began, waited = self._window
            self.windows.append((now - began) / (self.step - first))
            if feed is not None:
                self.host_shares.append((feed.waited - waited) / (now - began))
        self._window = (self.step, now, feed.waited if feed else 0.0)
        shown = {}
        for run, standing, part in self._going(metrics):
            values = {name: float(value) for name, value in part.items()}
            standing.diverged = not all(map(math.isfinite, values.values()))
            if self._program.skips:
                in_a_row = values.pop("skipped_in_a_row")
                values = {n: v for n, v in values.items() if math.isfinite(v)}
                standing.diverged = in_a_row >= not_finite.IN_A_ROW
            run.record.metrics(self.step, self.seconds, values)
            shown = shown or values
        rate = 1 / self.windows[-1] if self.windows else None
        progress.update(self.step, rate, shown)

    def _save(self, progress: RunProgress, validate: bool) -> None:
        """Saves every run whose numbers are all finite; evaluates and draws it."""
        jax.block_until_ready(
            self._program.state
        )  # steps: what follows is no part of them
        with self._goodput.during("saving"):
            for _, standing, found in self._going(self._program.state):
                state = not_finite.bare(found)
                standing.diverged = not finite(state)
                if not standing.diverged:
                    standing.step, standing.state = self.step, state
                    if self._program.skips:
                        standing.skipped = int(found.skipped)
                        standing.in_a_row = int(found.in_a_row)
        self._save_standings()
        if validate:
            for run, standing in zip(self.runs, self.standings, strict=True):
                if not standing.diverged:
                    self._validate(run, standing.state, progress)

    def _save_standings(self) -> None:
        """Saves each run as it stood, one that has diverged since, too.

        No newer state: of several processes only the first one knows that a save has
        failed, and all must stand at the same.
        """
        self._saving.begin()
        with self._goodput.during("saving"):
            for run, standing in zip(self.runs, self.standings, strict=True):
                if standing.step:
                    self._saving.save(run.checkpoints, standing, self.rewinds)

    def _finish(self, reason: str | None) -> None:
        """Waits until the last state is committed.

        Raises:
          UserError: it cannot be saved.
        """
        with self._goodput.during("saving"):
            self._saving.finish(self._save_standings, self.step, reason)

    def _validate(self, run: Run, state: Any, progress: RunProgress) -> None:
        now = self.step, self.seconds, state
        with self._goodput.during("evaluation"):
            shown = validation.held_out(run, *now)
            if shown and len(self.runs) == 1:
                progress.say(f"{run.job.name}  step {self.step}  {shown}")
            validation.samples(run, *now)

    def _complete(self) -> None:
        """Writes of the step begun from what a kill left out once it was saved."""
        experiment = self.runs[0].job.experiment
        due = self.step % experiment.checkpoint_every == 0
        # Of several processes all but the first have records that are thrown away.
        if not self.step or jax.process_index():
            return
        if due or self.step == experiment.steps:
            with self._goodput.during("evaluation"):
                for run, standing in zip(self.runs, self.standings, strict=True):
                    now = self.step, self.seconds, standing.state
                    if not standing.diverged:
                        validation.complete(run, *now)
