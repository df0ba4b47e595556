"""sample WORKDIR: draws samples from a checkpoint into a file: a picture, a text."""

import argparse
from pathlib import Path


def main(arguments: list[str]) -> int:
    """`sample WORKDIR [--count N] [--seed N] [--step N] [--out FILE]`."""
    parser = argparse.ArgumentParser(prog="launch/run sample")
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--count", type=int, default=25, help="samples (default: 25)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument("--step", type=int, help="a kept checkpoint; else the newest")
    parser.add_argument("--out", type=Path, help="file; default: in WORKDIR/samples")
    options = parser.parse_args(arguments)

    from research.errors import UserError
    from research.training import run

    if options.count < 1:
        raise UserError(f"--count is {options.count}: give 1 or more")
    trained = run.read(options.workdir, options.step)
    evaluator = run.evaluator_of(trained.job)
    if not evaluator.draws:
        raise UserError(
            f"{trained.job.name} labels and draws nothing: `launch/run evaluate` it"
        )
    name = f"drawn_step_{trained.step:08d}_seed_{options.seed}{evaluator.medium.SUFFIX}"
    out = options.out or options.workdir / "samples" / name
    if options.out and out.exists():
        raise UserError(f"--out {out} exists: name a new file")
    samples = evaluator.draw(trained.state, options.seed, options.count)
    out.parent.mkdir(parents=True, exist_ok=True)
    evaluator.medium.write(samples, out, trained.job.dataset)
    print(out)
    return 0
