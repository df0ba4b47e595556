"""sample WORKDIR: draws samples from a checkpoint into a file: a picture, a text."""

import argparse
from pathlib import Path
from typing import Any

from launch import buckets

WALK_STEPS = 10  # samples of a way, both ends included


def main(arguments: list[str]) -> int:
    """`sample WORKDIR [--count N] [--walk N] [--seed N] [--step N] [--out FILE]`."""
    parser = argparse.ArgumentParser(prog="launch/run sample")
    parser.add_argument("workdir")
    parser.add_argument("--count", type=int, default=25, help="samples (default: 25)")
    parser.add_argument(
        "--walk", type=int, metavar="N", help="N ways from sample to sample, and a GIF"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument("--step", type=int, help="a kept checkpoint; else the newest")
    parser.add_argument("--out", type=Path, help="file; default: in WORKDIR/samples")
    options = parser.parse_args(arguments)
    workdir = buckets.reading(options.workdir)

    from research.errors import UserError
    from research.training.summary import evaluator_of
    from research.training.trained import read

    if options.count < 1:
        raise UserError(f"--count is {options.count}: give 1 or more")
    trained = read(workdir, options.step)
    evaluator = evaluator_of(trained.job)
    if not evaluator.draws:
        raise UserError(
            f"{trained.job.name} labels and draws nothing: `launch/run evaluate` it"
        )
    if options.walk is not None and (options.walk < 1 or not evaluator.walks):
        raise UserError(
            f"--walk {options.walk}: give 1 or more"
            if options.walk < 1
            else f"--walk: {trained.job.name} draws from no noise that could be walked"
        )
    kind = "drawn" if options.walk is None else "walk"
    name = (
        f"{kind}_step_{trained.step:08d}_seed_{options.seed}{evaluator.medium.SUFFIX}"
    )
    out = options.out or workdir / "samples" / name
    if options.out and out.exists():
        raise UserError(f"--out {out} exists: name a new file")
    out.parent.mkdir(parents=True, exist_ok=True)
    if options.walk is not None:
        return _walk(trained, evaluator, options, out)
    samples = evaluator.draw(trained.state, options.seed, options.count)
    evaluator.medium.write(samples, out, trained.job.dataset)
    print(out)
    return 0


def _walk(trained: Any, evaluator: Any, options: argparse.Namespace, out: Path) -> int:
    """Writes a strip for each way, one below another, and the same as a GIF."""
    from research.errors import UserError
    from research.training import animation

    medium, film = evaluator.medium, out.with_suffix(".gif")
    if not hasattr(medium, "strips"):
        raise UserError(
            f"--walk: samples of {trained.job.experiment.data.name} are no pictures"
        )
    if options.out and film.exists():
        raise UserError(f"{film} exists: name a new --out file")
    ways = evaluator.walk(trained.state, options.seed, options.walk, WALK_STEPS)
    medium.strips(ways, out)
    # The end of one way is the beginning of the next.
    samples = [ways[0, 0], *(sample for way in ways for sample in way[1:])]
    animation.write([medium.still(sample) for sample in samples], film)
    print(out)
    print(film)
    return 0
