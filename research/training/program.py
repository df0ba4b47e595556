"""The compiled step of runs that are trained at once, and the states it is at."""

from collections.abc import Iterator, Sequence
from typing import Any

from research.training import devices, layout, not_finite
from research.training.feeding import Feed
from research.training.goodput import Goodput
from research.training.job import Job
from research.training.members import Members
from research.training.runs import Standing


class Program:
    """Makes steps of all runs; each state is donated to the call that follows it."""

    def __init__(
        self,
        jobs: Sequence[Job],
        start: Sequence[Standing],
        step: int,
        goodput: Goodput,
    ):
        """Compiles at its first call.

        Args:
          jobs: of the runs.
          start: where each run stands.
          step: of those that go on.
          goodput: counts what is waited for data.
        """
        self.jobs, self._goodput = jobs, goodput
        self.skips: bool = jobs[0].experiment.on_nan == "skip"
        self._members = Members(jobs)
        self._layout = layout.of(jobs[0].experiment, len(jobs))
        one = self._members.step(self._layout.ranks)
        state = self._stacked(start)
        inputs = self._members.values, jobs[0].train.arrays
        self.feed: Feed | None = self._feed_from(step)
        self.repeats: bool = self.feed is None and devices.repeats_well(
            one, self._layout.ranks, state, *inputs
        )
        """Whether one call can make several steps."""
        self._compiled = self._layout.parallel(one, self.repeats)
        self.state: Any = self._layout.state(state)
        self._inputs = self._layout.inputs(*inputs)

    def advance(self, steps: int) -> Any:
        """Makes steps in one call; the metrics of the last, on the devices."""
        self.state, metrics = self._call(self.state, steps, self.feed)
        return metrics

    def parts(self, tree: Any) -> list[Any]:
        """Each run's part of states or metrics, as numpy arrays."""
        return self._members.split(self._layout.fetch(tree))

    def again(
        self, start: Sequence[Standing], first: int, last: int
    ) -> Iterator[tuple[list[Any], list[Any]]]:
        """Makes the steps between two once more, where the program is stays.

        Yields:
          For each step every run's state before it, and its state and metrics after.
        """
        state, feed = self._layout.state(self._stacked(start)), self._feed_from(first)
        for _ in range(last - first):
            before = self.parts(state)
            state, metrics = self._call(state, 1, feed)
            yield before, self.parts((state, metrics))

    def _call(self, state: Any, steps: int, feed: Feed | None) -> tuple[Any, Any]:
        count = (steps,) if self.repeats else ()
        batch = ()
        if feed is not None:
            with self._goodput.during("data"):
                batch = (feed.next(),)
        return self._compiled(state, *count, *self._inputs, *batch)

    def _feed_from(self, step: int) -> Feed | None:
        """The host's batches from a step on; None where the devices make them."""
        if not isinstance(self._layout, layout.Fed):
            return None
        return self._layout.feed(self.jobs, step)

    def _stacked(self, standings: Sequence[Standing]) -> Any:
        """The last finite states as the step takes them."""
        states = [
            not_finite.guarded(one.state, one.skipped, one.in_a_row)
            if self.skips
            else one.state
            for one in standings
        ]
        return self._members.stack(states)
