"""evaluate WORKDIR: metrics of a checkpoint, with floors and 95 % intervals."""

import argparse
import functools
import json
from typing import Any

from launch import _command_line, buckets
from research.errors import UserError
from research.settings import differences, to_dict

# Settings of a run's final metrics, which may be others than the run was given.
MEASURED = ("score_pictures", "task.dynamic_rate", "validation_examples")
OPTIONS = ", ".join(f"--{name.replace('_', '-')}" for name in MEASURED)


def main(arguments: list[str]) -> int:
    """`evaluate WORKDIR [--step N] [--json] [settings of the metrics]`."""
    parser = argparse.ArgumentParser(
        prog="launch/run evaluate", epilog=f"also, as train has them: {OPTIONS}"
    )
    parser.add_argument("workdir")
    parser.add_argument("--step", type=int, help="a kept checkpoint; else the newest")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options, rest = parser.parse_known_args(arguments)
    workdir = buckets.reading(options.workdir)

    from research.training.summary import evaluator_of, measure
    from research.training.trained import read

    trained = read(workdir, options.step, functools.partial(otherwise, rest))
    found = measure(trained.job, trained.state, evaluator_of(trained.job))
    if options.json:
        print(json.dumps({"step": trained.step} | found))
        return 0
    print(f"{trained.job.name} at step {trained.step}")
    for name, measured in found["metrics"].items():
        print(f"  {name:20} {told(measured)}")
    return 0


def otherwise(arguments: list[str], recorded: Any) -> Any:
    """An experiment with other settings of its final metrics.

    Raises:
      UserError: an option that there is not, or of what was trained.
    """
    command = "launch/run evaluate WORKDIR"
    found = _command_line.parse(recorded, arguments, command) if arguments else recorded
    for name in differences(to_dict(recorded), to_dict(found)):
        if name not in MEASURED:
            raise UserError(
                f"--{name.replace('_', '-')} is of what the run was trained with: "
                f"evaluate takes {OPTIONS}"
            )
    return found


def told(measured: dict) -> str:
    """A number of summary.json in a line."""
    value = measured["value"]
    text = "none" if value is None else f"{value:.4g}"
    if measured["low"] is not None:
        text += f"  [{measured['low']:.4g}, {measured['high']:.4g}]"
    if measured["floor"] is not None:
        text += f"  floor {measured['floor']:.4g}"
    return f"{text}  {measured['unit']}, n = {measured['samples']}"
