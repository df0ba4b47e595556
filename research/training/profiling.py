"""A trace of some steps, and where their time goes, op by op.

The trace is what TensorBoard's profiler and Perfetto read. The table is read from it by
jax alone: events that name an op of a compiled program, each without those that ran
inside it (a loop's body is not counted twice).
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.profiler import ProfileData

SHOWN = 12  # lines of the table
ROUNDING = 0.01  # ns: events are told in whole picoseconds
OP_LINES = ("XLA Ops",)  # where a TPU's plane has its ops, all of them


class Op(NamedTuple):
    """One kind of op: those whose names differ in a number alone."""

    name: str
    seconds: float  # over all devices and threads
    calls: int


class Profile:
    """The trace of the steps from one to another, both in it; use it as a context."""

    def __init__(self, steps: tuple[int, int] | None, folder: Path):
        """Takes the steps, None for no trace, and where the trace is written."""
        self._steps, self.folder = steps, folder
        self._running = False

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._running:  # the run ended in the middle of these steps
            jax.profiler.stop_trace()

    def ahead(self, step: int) -> list[int]:
        """Steps from `step` until the trace begins and ends, where that is to come."""
        return [turn - step for turn in self._turns() if turn > step]

    def turn(self, step: int, state: Any) -> list[str]:
        """Begins or ends the trace if `step`, which is done, says so; the table then.

        Of a run that went on in the middle of these steps there is no trace.
        """
        if step in self._turns():
            jax.block_until_ready(state)
            first, last = self._turns()
            if self._running:
                jax.profiler.stop_trace()
                self._running = False
                return table(ops(self.folder), last - first, self.folder)
            if step == first:
                jax.profiler.start_trace(self.folder)
                self._running = True
        return []

    def _turns(self) -> tuple[int, ...]:
        """The step before the first, and the last."""
        return () if self._steps is None else (self._steps[0] - 1, self._steps[1])


def ops(folder: Path) -> list[Op]:
    """The ops of the newest trace in a folder, the longest first."""
    newest = max(folder.rglob("*.xplane.pb"), key=lambda file: file.stat().st_mtime)
    seconds: dict[str, float] = {}
    calls: dict[str, int] = {}
    for plane in ProfileData.from_file(str(newest)).planes:
        for line in plane.lines:
            every = line.name in OP_LINES and plane.name.startswith("/device:")
            for name, own in _own_times(line.events, every):
                seconds[name] = seconds.get(name, 0.0) + own * 1e-9
                calls[name] = calls.get(name, 0) + 1
    found = [Op(name, seconds[name], calls[name]) for name in seconds]
    return sorted(found, key=lambda op: -op.seconds)


def table(found: list[Op], steps: int, folder: Path) -> list[str]:
    """The longest ops as lines of text: share, milliseconds and calls a step."""
    whole = sum(op.seconds for op in found)
    lines = [f"profile of {steps} steps, of ops {1e3 * whole / steps:.3g} ms a step"]
    for op in found[:SHOWN]:
        lines.append(
            f"{op.seconds / whole:8.1%} {1e3 * op.seconds / steps:9.3f} ms "
            f"{op.calls / steps:7.1f} ×  {op.name}"
        )
    if rest := found[SHOWN:]:
        share = sum(op.seconds for op in rest) / whole
        lines.append(f"{share:8.1%} of {len(rest)} other kinds")
    return [*lines, f"the trace is in {folder}: tensorboard --logdir {folder}"]


def _own_times(events: Iterable[Any], every: bool) -> Iterator[tuple[str, float]]:
    """Each op's kind and its own nanoseconds, without what ran inside it."""
    open_ops: list[list[Any]] = []  # [kind, begin, end, own time], outermost first
    chosen = (
        e for e in events if every or any(name == "hlo_op" for name, _ in e.stats)
    )
    for event in sorted(chosen, key=lambda e: (e.start_ns, -e.duration_ns)):
        begin, end = event.start_ns, event.end_ns
        while open_ops and open_ops[-1][2] < end - ROUNDING:
            kind, _, ended, own = open_ops.pop()
            # On a GPU's stream the next kernel begins while the last one ends.
            begin = max(begin, ended)
            yield kind, own
        if open_ops:
            begin = max(begin, open_ops[-1][1])
            open_ops[-1][3] -= end - begin
        open_ops.append([_kind(event.name), begin, end, end - begin])
    for kind, _, _, own in open_ops:
        yield kind, own


def _kind(name: str) -> str:
    """%fusion.12 = f32[3]{0} fusion(…) → fusion."""
    return re.sub(r"[.\d]+$", "", name.lstrip("%").split(" ")[0])
