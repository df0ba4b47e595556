"""train NAME: trains, or goes on where a checkpoint left off, and measures."""

import sys
from pathlib import Path

from launch._settings import choose, take_option
from research.errors import UserError

EXIT_CODES = {"done": 0, "nan": 3, "preempted": 85, "interrupted": 130}


def main(arguments: list[str]) -> int:
    """`train NAME [--workdir FOLDER] [--budget …] [settings]`; its exit code."""
    workdir, arguments = take_option(arguments, "--workdir")
    if not arguments or arguments[0].startswith("-"):
        raise UserError("which experiment? `launch/run list` names them")
    chosen = choose(arguments[0], arguments[1:], ("--workdir FOLDER",))
    folder = Path(workdir or Path("runs") / chosen.name)
    verdict = train(chosen, folder)
    if verdict in ("interrupted", "preempted"):
        again = " ".join(["launch/run train", *sys.argv[2:]])
        print(f"{verdict}, saved; go on with: {again}")
    return EXIT_CODES[verdict]


def train(chosen, folder: Path) -> str:
    """Runs one experiment, or each member of a comparison, and reports."""

    from research.experiment import members
    from research.training.run import run
    from research.training.stop import listening

    runs = members(chosen.settings) or {chosen.name: chosen.settings}
    single = len(runs) == 1
    folders = [folder if single else folder / name for name in runs]
    with listening() as stop:
        for (name, experiment), place in zip(runs.items(), folders, strict=True):
            found = run(name, chosen.claim, experiment, place, stop)
            if found["verdict"] != "done":
                return _explain(found, place)
    from research.reports.page import write_report

    page = write_report(folder, None if single else folders)
    print(f"report: {page}")
    return "done"


def _explain(found: dict, place: Path) -> str:
    if found["verdict"] == "nan":
        print(
            f"train: a loss or a weight of {found['experiment']} is not finite; the "
            f"last good state, step {found['steps']}, is kept in {place}",
            file=sys.stderr,
        )
    return found["verdict"]
