"""How far a run is: a bar on a terminal, now and then a line elsewhere."""

import sys
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from research.training import memory

SECONDS_BETWEEN_LINES = 10.0


class RunProgress:
    """Progress of one run over its steps; use it as a context."""

    def __init__(self, name: str, steps: int):
        """Shows `name` before the first of `steps`."""
        self._console = Console(file=sys.stdout)
        self._live = self._console.is_terminal
        self._name, self._steps = name, steps
        self._last_line = 0.0
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[memory]}"),
            TextColumn("{task.fields[shown]}"),
            console=self._console,
            disable=not self._live,
        )
        self._row = self._bar.add_task(
            name, total=steps, rate="compiling", memory="", shown=""
        )

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def update(self, step: int, rate: float | None, values: dict[str, float]) -> None:
        """Shows the step, steps a second (None: not known yet), memory, losses."""
        shown = "  ".join(
            f"{name.replace('_loss', '')} {value:.3f}"
            for name, value in values.items()
            if name.endswith("loss")
        )
        speed = f"{rate:.2f} steps/s" if rate else "compiling"
        held = memory.told()
        self._bar.update(
            self._row, completed=step, rate=speed, memory=held, shown=shown
        )
        due = time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES
        if not self._live and (due or step == self._steps):
            self._last_line = time.monotonic()
            print(
                f"{self._name}  step {step}/{self._steps}  {speed}  {held}  {shown}",
                flush=True,
            )

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
