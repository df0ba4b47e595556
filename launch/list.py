"""list: experiments with their claims, data sets and parts."""

import argparse
import ast
import importlib.util
import json
from pathlib import Path

FAMILIES = (
    "data",
    "media",
    "features",
    "encodings",
    "models",
    "losses",
    "penalties",
    "augmentations",
    "tasks",
)


def main(arguments: list[str]) -> int:
    """`list [--json]`."""
    from research import parts

    parser = argparse.ArgumentParser(prog="launch/run list")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    experiments = {name: _claim(name) for name in parts.names("experiments")}
    families = {family: parts.names(f"research.{family}") for family in FAMILIES}
    if options.json:
        print(json.dumps({"experiments": experiments} | families, indent=2))
        return 0
    print("experiments (launch/run train NAME)")
    width = max(map(len, experiments))
    for name, claim in experiments.items():
        print(f"  {name:{width}} {claim}")
    for family, found in families.items():
        print(f"{family}: {', '.join(found)}")
    return 0


def _claim(name: str) -> str:
    """The first line of the file's docstring, read without running the file."""
    dotted = name if "." in name else f"experiments.{name}"
    spec = importlib.util.find_spec(dotted)
    assert spec is not None
    assert spec.origin is not None
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text()))
    return (docstring or "no claim").splitlines()[0]
