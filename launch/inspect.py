"""inspect WORKDIR: the steps kept, and the SHA-256 of the whole state at each."""

import argparse
import json

from launch import buckets


def main(arguments: list[str]) -> int:
    """`inspect WORKDIR [--json]`."""
    parser = argparse.ArgumentParser(prog="launch/run inspect")
    parser.add_argument("workdir")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    workdir = buckets.reading(options.workdir)

    from research.training.hashing import state_hash
    from research.training.record import read_json
    from research.training.trained import kept_states

    about = read_json(workdir / "config.json")
    hashes = {
        step: "damaged" if state is None else state_hash(state)
        for step, state in kept_states(workdir)
    }
    if options.json:
        print(json.dumps({"experiment": about["experiment"], "states": hashes}))
        return 0
    print(f"{about['experiment']}, {len(hashes)} checkpoints in {options.workdir}")
    for step, value in hashes.items():
        print(f"  step {step:>8}  {value}")
    return 0
