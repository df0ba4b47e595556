"""evaluate WORKDIR: metrics of a checkpoint, with floors and 95 % intervals."""

import argparse
import json

from launch import buckets


def main(arguments: list[str]) -> int:
    """`evaluate WORKDIR [--step N] [--json]`."""
    parser = argparse.ArgumentParser(prog="launch/run evaluate")
    parser.add_argument("workdir")
    parser.add_argument("--step", type=int, help="a kept checkpoint; else the newest")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    workdir = buckets.reading(options.workdir)

    from research.training.summary import evaluator_of, measure
    from research.training.trained import read

    trained = read(workdir, options.step)
    found = measure(trained.job, trained.state, evaluator_of(trained.job))
    if options.json:
        print(json.dumps({"step": trained.step} | found))
        return 0
    print(f"{trained.job.name} at step {trained.step}")
    for name, measured in found["metrics"].items():
        print(f"  {name:20} {told(measured)}")
    return 0


def told(measured: dict) -> str:
    """A number of summary.json in a line."""
    value = measured["value"]
    text = "none" if value is None else f"{value:.4g}"
    if measured["low"] is not None:
        text += f"  [{measured['low']:.4g}, {measured['high']:.4g}]"
    if measured["floor"] is not None:
        text += f"  floor {measured['floor']:.4g}"
    return f"{text}  {measured['unit']}, n = {measured['samples']}"
