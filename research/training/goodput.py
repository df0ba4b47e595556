"""Where a run's wall time goes: steps, compiling, data, saving, evaluation.

Steps are what the time is paid for; the rest is what keeps them from being all of it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax

KINDS = ("steps", "compile", "data", "saving", "evaluation")
OTHER = "other"
# Tracing, lowering and compiling; a program read from the cache counts as compiled.
COMPILING = "/jax/core/compile/"


class Goodput:
    """Counts the seconds of one start; use it as a context."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = dict.fromkeys((*KINDS, OTHER), 0.0)
        self._kind = OTHER
        self._since = time.perf_counter()
        self._compiled: list[tuple[float, float]] = []  # spans of epoch time

    def __enter__(self) -> "Goodput":
        jax.monitoring.register_event_time_span_listener(self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        jax.monitoring.unregister_event_time_span_listener(self._note)

    @contextmanager
    def during(self, kind: str) -> Iterator[None]:
        """Counts a block as one of KINDS, but for what is counted otherwise inside."""
        before = self._turn_to(kind)
        try:
            yield
        finally:
            self._turn_to(before)

    def seconds(self) -> dict[str, float]:
        """Seconds by kind so far; their sum is the wall time."""
        self._turn_to(self._kind)
        return dict(self._seconds)

    def _turn_to(self, kind: str) -> str:
        """Charges the time since the last turn; returns the kind it was of."""
        now, before = time.perf_counter(), self._kind
        self._seconds[before] += now - self._since
        self._since, self._kind = now, kind
        return before

    def _note(
        self, event: str, start_time: float, end_time: float, **about: str | int
    ) -> None:
        """Moves the time of a compilation, once: spans of its parts lie inside it."""
        del about
        if not event.startswith(COMPILING):
            return
        inside = [span for span in self._compiled if span[0] >= start_time]
        self._compiled = [span for span in self._compiled if span[0] < start_time]
        self._compiled.append((start_time, end_time))
        new = end_time - start_time - sum(last - first for first, last in inside)
        self._seconds["compile"] += new
        self._seconds[self._kind] -= new


def told(seconds: dict[str, float]) -> str:
    """In words, the largest share first: "40 s: 91 % steps, 6 % compile, …"."""
    whole = sum(seconds.values())
    shares = sorted(seconds.items(), key=lambda item: -item[1])
    words = [f"{value / whole:.1%} {kind}" for kind, value in shares if value > 0]
    return f"{whole:.0f} s: {', '.join(words)}"
