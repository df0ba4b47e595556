"""train NAME: trains, or goes on where a checkpoint left off, and measures."""

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from launch._settings import Chosen, choose, claim, take_option
from research import parts
from research.errors import UserError

EXIT_CODES = {"done": 0, "nan": 3, "preempted": 85, "interrupted": 130}


def main(arguments: list[str]) -> int:
    """`train NAME [--workdir FOLDER] [--budget …] [settings]`; its exit code."""
    workdir, rest = take_option(arguments, "--workdir")
    if not rest or rest[0].startswith("-"):
        raise UserError("which experiment? `launch/run list` names them")
    chosen = choose(rest[0], rest[1:], ("--workdir FOLDER",))
    folder = Path(workdir or Path("runs") / chosen.name)
    verdict = train(chosen, folder)
    if verdict in ("interrupted", "preempted"):
        again = shlex.join(["launch/run", "train", *arguments])
        print(f"{verdict}, saved; go on with: {again}")
    return EXIT_CODES[verdict]


def train(chosen: Chosen, folder: Path) -> str:
    """Trains one run, or each of a comparison, and writes the report; the verdict."""
    from research.experiment import members
    from research.training.run import run
    from research.training.stop import listening

    several = members(chosen.settings)
    workdirs: list[Path] = []
    runs = several or {chosen.name: chosen.settings}
    with listening() as stop:
        for name, experiment in runs.items():
            if stop.reason is not None:
                return stop.reason
            place = folder / name if several else folder
            found = run(name, claim_of(name, chosen), experiment, place, stop)
            for workdir, summary in found.items():
                if summary["verdict"] == "nan":
                    tell_of_nan(summary, workdir)
            verdict = verdict_of(summary["verdict"] for summary in found.values())
            if verdict != "done":
                return verdict
            workdirs += found
    report(folder, workdirs)
    return "done"


def verdict_of(verdicts: Iterable[str]) -> str:
    """That of several runs: "nan" only if none of them came to a good end."""
    found = set(verdicts)
    return next(v for v in ("interrupted", "preempted", "done", "nan") if v in found)


def report(folder: Path, workdirs: list[Path]) -> None:
    """Writes the page and says its headline and where it is."""
    from research.reports.coverage import headline
    from research.reports.page import write_report
    from research.reports.runs import read_runs

    page = write_report(folder, workdirs)
    print(headline(read_runs(workdirs)))
    print(f"report: {page}")


def claim_of(name: str, chosen: Chosen) -> str:
    """The claim of a comparison's member is that of its own experiment."""
    if name in parts.names("experiments"):
        return claim(parts.find("experiments", name))
    return chosen.claim


def tell_of_nan(found: dict, place: Path) -> None:
    """Says what stopped a run that diverged, and what is left of it."""
    step = found["steps"]
    kept = f"the last good state, of step {step}, is in {place}"
    print(
        f"train: a loss or a weight of {found['experiment']} is not finite; "
        f"{kept if step else 'no state was saved before'}: lower "
        f"--optimizer.learning-rate or set --optimizer.clip-norm",
        file=sys.stderr,
    )
