"""bench NAME: measures ours beside what people would use instead."""

import argparse
import json

BENCHES = {
    "lstm": "kernels.lstm.bench",
    "conv": "kernels.conv_transpose.bench",
    "gan": "research.bench.gan_step",
    "comparison": "research.bench.comparison",
}


def main(arguments: list[str]) -> int:
    """`bench NAME [--json]`."""
    parser = argparse.ArgumentParser(prog="launch/run bench")
    parser.add_argument("name", help=f"{', '.join(BENCHES)}, or package.module")
    parser.add_argument("--json", action="store_true", help="one JSON row a line")
    options = parser.parse_args(arguments)

    from research import parts
    from research.errors import UserError

    name: str = options.name
    if name not in BENCHES and "." not in name:
        raise UserError(f"no bench {name!r}{parts.suggestion(name, list(BENCHES))}")
    module = parts.find("research.bench", BENCHES.get(name, name))
    try:
        for row in module.rows():
            print(json.dumps(row) if options.json else told(row), flush=True)
    except ModuleNotFoundError as error:  # a yardstick, see kernels/measure.py
        raise UserError(str(error)) from None
    return 0


def told(row: dict) -> str:
    """One row for a person: median, quartiles, and how many times faster than whom."""
    ratios = "  ".join(
        f"{ratio['median']:.2f}× {name} [{ratio['q25']:.2f}, {ratio['q75']:.2f}]"
        for name, ratio in row["ratios"].items()
    )
    return (
        f"{row['case']:36} {row['what']:18} {row['backend']:10} "
        f"{row['median']:9.2f} {row['unit']} [{row['q25']:.2f}, {row['q75']:.2f}] "
        f"n = {row['runs']}  {ratios}"
    )
