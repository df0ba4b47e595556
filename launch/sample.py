"""sample WORKDIR: draws from a checkpoint into a file, or writes on from a prompt."""

import argparse
import codecs
import dataclasses
import itertools
import os
import sys
from pathlib import Path
from typing import Any

from launch import buckets

WALK_STEPS = 10  # samples of a way, both ends included
COUNT = 25  # samples, unless told
LENGTH = 500  # bytes after a prompt, unless told


def main(arguments: list[str]) -> int:
    """`sample WORKDIR [--count N | --walk N | --prompt TEXT] [--seed N] [--step N]`."""
    parser = argparse.ArgumentParser(prog="launch/run sample")
    parser.add_argument("workdir")
    parser.add_argument("--count", type=int, help=f"samples (default: {COUNT})")
    parser.add_argument(
        "--walk", type=int, metavar="N", help="N ways from sample to sample, and a GIF"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument("--step", type=int, help="a kept checkpoint; else the newest")
    parser.add_argument("--out", type=Path, help="file; default: in WORKDIR/samples")
    _add_prompt(parser)
    options = parser.parse_args(arguments)
    buckets.refuse("--out", options.out)
    _refuse_unread(options)
    workdir = buckets.reading(options.workdir)

    from research.errors import UserError
    from research.training.summary import evaluator_of
    from research.training.trained import read

    count = COUNT if options.count is None else options.count
    if count < 1:
        raise UserError(f"--count is {count}: give 1 or more")
    if not 0 <= options.seed < 2**32:
        raise UserError(f"--seed is {options.seed}: give 0 to 2³² − 1")
    trained = read(workdir, options.step)
    if options.prompt is not None:
        return _write_on(trained, options)
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
    suffix = evaluator.medium.SUFFIX
    name = f"{kind}_step_{trained.step:08d}_seed_{options.seed}{suffix}"
    out = options.out or workdir / "samples" / name
    if options.out and out.exists():
        raise UserError(f"--out {out} exists: name a new file")
    if out.suffix != suffix:
        raise UserError(
            f"--out {out}: samples are written as {suffix}: name a file that ends so"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    if options.walk is not None:
        return _walk(trained, evaluator, options, out)
    samples = evaluator.draw(trained.state, options.seed, count)
    evaluator.medium.write(samples, out, trained.job.dataset)
    print(out)
    return 0


def _refuse_unread(options: argparse.Namespace) -> None:
    """Raises UserError for an option of another way to draw, which would do nothing."""
    from research.errors import UserError

    if options.prompt is not None:
        unread, why = ("count", "walk", "out"), "is not for texts that --prompt begins"
    else:
        unread = ("length", "temperature", "top_k", "nucleus")
        why = "is for texts that --prompt TEXT begins, and there is none"
        if options.walk is not None:
            unread, why = (*unread, "count"), "is not for a --walk"
    for name in unread:
        if getattr(options, name) is not None:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} {why}: leave one of them out")


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


def _add_prompt(parser: argparse.ArgumentParser) -> None:
    texts = parser.add_argument_group(
        "texts, written to the terminal as they are drawn"
    )
    texts.add_argument("--prompt", metavar="TEXT", help="what is written on from")
    texts.add_argument("--length", type=int, help=f"bytes (default: {LENGTH})")
    settings = "(default: as the run was trained to)"
    texts.add_argument("--temperature", type=float, help=f"0: the likeliest {settings}")
    texts.add_argument("--top-k", type=int, help=f"of the k likeliest {settings}")
    texts.add_argument("--nucleus", type=float, help=f"share of probability {settings}")


def _write_on(trained: Any, options: argparse.Namespace) -> int:
    """Writes the prompt and what the model makes of it to the terminal."""
    from research import writing
    from research.errors import UserError

    experiment, task = trained.job.experiment, trained.job.task
    if task.predict is None:
        raise UserError(
            f"--prompt: {trained.job.name} does not write on from a text; leave it out"
        )
    length = LENGTH if options.length is None else options.length
    if length < 1:
        raise UserError(f"--length is {length}: give 1 or more")
    given = {
        name: getattr(options, name)
        for name in ("temperature", "top_k", "nucleus")
        if getattr(options, name) is not None
    }
    how = dataclasses.replace(experiment.task.sampling, **given)
    how.refuse_wrong()
    prompt = os.fsencode(options.prompt)
    text = trained.job.train.arrays["text"]
    writing.refuse_prompt(prompt, text, experiment.model.classes, experiment.data.name)
    # A character may end in the next piece.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    written = writing.write(task, trained.state, prompt, length, how, options.seed)
    for piece in itertools.chain([prompt], written):
        sys.stdout.write(decoder.decode(piece))
        sys.stdout.flush()
    sys.stdout.write(decoder.decode(b"", final=True) + "\n")
    return 0
