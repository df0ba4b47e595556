"""sweep NAME --over FIELD=A,B: many runs of one experiment, ranked."""

import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from launch import buckets, slurm
from launch._settings import Chosen, take_all, take_flag, take_number, take_option
from launch.sweeps import points, running, table
from launch.sweeps.axes import axis
from launch.train import EXIT_CODES
from research.errors import UserError
from research.parts import suggestion
from research.training.stop import StopRequest, listening

WAYS = ("one", "processes", "population", "slurm")


def main(arguments: list[str]) -> int:
    """`sweep NAME --over FIELD=A,B … [--seeds N] [--random N] [--how WAY] [settings]`.

    --over FIELD=A,B   a field of the experiment and its values (of a switch: true,
                       false); may be repeated
    --over FIELD=L..H  a range: of a field of whole numbers all of them, or drawn evenly
                       by --random; of others for --random, log-uniform where L > 0
    --random N         draw N settings, none twice, instead of the whole grid;
                       --draw-seed S
    --seeds N          each setting with N seeds
    --how WAY          one (after another), processes (--workers N), population (alike
                       ones in one program), slurm (an array, with the options of
                       `slurm --help`; printed, or sent with --submit)
    --metric NAME      what to rank by
    --workdir FOLDER   where the runs and the table go
    --only N           run the N-th point alone, as a task of an array does
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(main.__doc__)
        return 0 if arguments else 2
    if arguments[0].startswith("-"):
        raise UserError("which experiment? `launch/run list` names them")
    wanted, rest = read(arguments)
    chosen, found = points.points(
        arguments[0],
        rest,
        [axis(text) for text in wanted.over],
        wanted.seeds,
        wanted.draws,
        wanted.draw_seed,
    )
    place = wanted.workdir or Path("runs") / f"sweep_{chosen.name}"
    if wanted.how == "slurm":
        buckets.refuse_kind(place)
        if buckets.is_bucket(place):
            raise UserError(f"--workdir {place}: the tasks of an array share a disk")
        return _array(arguments, len(found), Path(place), chosen.name, wanted)
    if wanted.only is not None:
        if not 0 <= wanted.only < len(found):
            last = len(found) - 1
            raise UserError(
                f"--only {wanted.only}: this sweep's points are 0 to {last}"
            )
        found = [found[wanted.only]]
    # Also for a notice while a bucket's lease is waited for, or the last copy is made.
    with listening() as stop, buckets.training(place, stop) as folder:
        ended = run_missing(chosen, found, folder, wanted, stop)
        if ended in ("interrupted", "preempted"):
            again = shlex.join(["launch/run", "sweep", *arguments])
            print(f"{ended}, saved; go on with: {again}")
            return EXIT_CODES[ended]
        if wanted.only is not None:
            return EXIT_CODES[running.verdict(folder / found[0].name) or "nan"]
        return tabulate(found, folder, wanted)


class Wanted(NamedTuple):
    """The options of a sweep."""

    over: list[str]
    seeds: int
    draws: int | None
    draw_seed: int
    workers: int
    only: int | None
    how: str
    metric: str | None
    workdir: str | None
    as_json: bool
    job: dict[str, Any]  # of slurm
    submit: bool
    out: str | None


def read(arguments: list[str]) -> tuple[Wanted, list[str]]:
    """The options, and the experiment's own.

    Raises:
      UserError: a value that none of them takes.
    """
    over, rest = take_all(arguments[1:], "--over")
    seeds, rest = take_number(rest, "--seeds", 1)
    draws, rest = take_number(rest, "--random", None)
    draw_seed, rest = take_number(rest, "--draw-seed", 0)
    workers, rest = take_number(rest, "--workers", 2)
    only, rest = take_number(rest, "--only", None)
    how, rest = take_option(rest, "--how")
    metric, rest = take_option(rest, "--metric")
    workdir, rest = take_option(rest, "--workdir")
    as_json, rest = take_flag(rest, "--json")
    how, job, submit, out = how or "one", {}, False, None
    if how == "slurm":
        job, submit, out, rest = slurm.read(rest)
        if job["nodes"] > 1:
            raise UserError(
                f"--nodes {job['nodes']}: a task of a sweep is one run on one machine; "
                f"for a run on several there is `launch/run slurm`"
            )
    if how not in WAYS:
        raise UserError(f"--how {how}{suggestion(how, list(WAYS))}")
    seeds = 1 if seeds is None else seeds
    if not over and seeds == 1:
        raise UserError(
            "over what? --over optimizer.learning-rate=1e-3,1e-4 or --seeds 5"
        )
    numbers = (draw_seed or 0, 2 if workers is None else workers, only)
    ways = (how, metric, workdir, as_json, job, submit, out)
    return Wanted(over, seeds, draws, *numbers, *ways), rest


def run_missing(
    chosen: Chosen,
    found: list[points.Point],
    folder: Path,
    wanted: Wanted,
    stop: StopRequest,
) -> str:
    """Runs what has no end yet; the verdict of all."""
    left = running.missing(chosen.name, found, folder)
    if len(left) < len(found):
        print(f"sweep: {len(found) - len(left)} of {len(found)} are done already")
    if not left:
        return "done"
    if wanted.how == "processes":
        return running.processes(left, folder, wanted.workers, stop)
    way = running.population if wanted.how == "population" else running.one_by_one
    return way(chosen.name, chosen.claim, left, folder, stop)


def tabulate(found: list[points.Point], folder: Path, wanted: Wanted) -> int:
    """Writes and shows the table."""
    best = table.choose_metric(found, folder, wanted.metric)
    if best is None:
        raise UserError(f"no run in {folder} came to an end that was measured")
    made = table.rows(found, folder, *best)
    picture = table.write(made, folder, *best)
    if wanted.as_json:
        print(json.dumps(json.loads((folder / "sweep.json").read_text())))
        return 0
    print("\n".join(table.lines(made, *best)))
    print(f"table: {folder / 'sweep.md'}, picture: {picture}")
    return 0


def _array(
    given: list[str], count: int, folder: Path, name: str, wanted: Wanted
) -> int:
    """A job array: each task is this command, for one point."""
    from launch.clusters import slurm as scripts

    about = dict(wanted.job)
    start = scripts.runner(about.pop("runner"))
    _, _, _, plain = slurm.read(given)
    _, plain = take_option(plain, "--how")
    job = scripts.Job(
        name=about.pop("name") or f"sweep_{name}",
        command=(*start, "sweep", *plain),
        logs=folder,
        array=f"0-{count - 1}",
        **about,
    )
    return slurm.deliver(job, wanted.submit, wanted.out)
