"""bench NAME: measures ours beside what people would use instead."""

import argparse
import json
from types import ModuleType

BENCHES = {
    "lstm": "kernels.lstm.bench",
    "conv": "kernels.conv_transpose.bench",
    "gan": "research.bench.gan_step",
    "language": "research.bench.language",
    "population": "research.bench.population",
    "comparison": "research.bench.comparison",
    "rented-gpu": "research.bench.rented_gpu",
}


def main(arguments: list[str]) -> int:
    """`bench NAME [--json]`, and what options that bench adds.

    A bench is a module with `rows(**options)`, which yields rows as they are measured.
    It may have `add_options(parser)`, and `told(row)` for rows unlike the others: the
    line for a person, or None.
    """
    parser = argparse.ArgumentParser(prog="launch/run bench")
    parser.add_argument("name", help=f"{', '.join(BENCHES)}, or package.module")
    parser.add_argument("--json", action="store_true", help="one JSON row a line")
    named = next((given for given in arguments if given[:1] != "-"), None)
    module = None if named is None else _bench(named)
    getattr(module, "add_options", lambda parser: None)(parser)
    options = vars(parser.parse_args(arguments))
    del options["name"]
    as_json: bool = options.pop("json")

    from research.errors import UserError

    assert module is not None  # or the parser has refused
    own = getattr(module, "told", lambda row: None)
    try:
        for row in module.rows(**options):
            print(json.dumps(row) if as_json else own(row) or told(row), flush=True)
    except ModuleNotFoundError as error:  # a yardstick, see kernels/measure.py
        raise UserError(str(error)) from None
    return 0


def _bench(name: str) -> ModuleType:
    from research import parts
    from research.errors import UserError

    if name not in BENCHES and "." not in name:
        raise UserError(f"no bench {name!r}{parts.suggestion(name, list(BENCHES))}")
    return parts.find("research.bench", BENCHES.get(name, name))


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
