"""report WORKDIR…: one HTML page over one run, several, or a comparison."""

import argparse
from pathlib import Path

from launch import buckets


def main(arguments: list[str]) -> int:
    """`report WORKDIR [WORKDIR …] [--out FOLDER]`."""
    parser = argparse.ArgumentParser(prog="launch/run report")
    parser.add_argument("workdirs", nargs="+", metavar="WORKDIR")
    parser.add_argument("--out", type=Path, help="folder; default: the first WORKDIR")
    options = parser.parse_args(arguments)
    buckets.refuse("--out", options.out)

    from launch.train import report
    from research.errors import UserError
    from research.reports.runs import find_members

    workdirs = [buckets.reading(workdir) for workdir in options.workdirs]
    first, *more = workdirs
    for workdir in workdirs:
        if not workdir.is_dir():
            raise UserError(f"{workdir} is no folder: name the workdir of a run")
    if more and options.out is None:
        raise UserError("several runs: say with --out FOLDER where the page goes")
    members = [run for workdir in workdirs for run in find_members(workdir)]
    report(options.out or first, members)
    return 0
