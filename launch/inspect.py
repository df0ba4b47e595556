"""inspect WORKDIR: the steps kept, the hash of the state at each, and a look inside."""

import argparse
import json
from pathlib import Path

from launch import buckets


def main(arguments: list[str]) -> int:
    """`inspect WORKDIR [--not-finite] [--json]`, `inspect WORKDIR --inside [TEXT]`."""
    parser = argparse.ArgumentParser(prog="launch/run inspect")
    parser.add_argument("workdir")
    look = parser.add_mutually_exclusive_group()
    look.add_argument(
        "--not-finite",
        action="store_true",
        help="compute the step again that ended the run with NaN or infinity",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    look.add_argument(
        "--inside",
        nargs="?",
        const="",
        metavar="TEXT",
        help="a page of an LSTM's gates, cells and memory while it reads that text, or "
        "held-out text of its own",
    )
    options = parser.parse_args(arguments)
    workdir = buckets.reading(options.workdir)

    if options.inside is not None:
        from research.inside import page
        from research.training import trained

        place = page.write(trained.read(workdir), workdir, options.inside)
        print(json.dumps({"page": str(place)}) if options.json else place)
        return 0

    if options.not_finite:
        return _replay(workdir, options.json)

    from research.training.files import read_json
    from research.training.hashing import state_hash
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


def _replay(workdir: Path, as_json: bool) -> int:
    """Tells what became not finite, and where."""
    from research.training.replay import replay, told

    found = replay(workdir)
    if as_json:
        print(json.dumps(found._asdict() | {"file": str(found.file)}))
    else:
        print("\n".join(told(found)))
    return 0
