"""sweep NAME --over FIELD=A,B: many runs of one experiment, ranked."""

import json
import shlex
from pathlib import Path

from launch import slurm
from launch._settings import take_all, take_flag, take_number, take_option
from launch.train import EXIT_CODES
from research.errors import UserError
from research.parts import suggestion

WAYS = ("one", "processes", "population", "slurm")


def main(arguments: list[str]) -> int:
    """`sweep NAME --over FIELD=A,B … [--seeds N] [--random N] [--how WAY] [settings]`.

    --over FIELD=A,B   a field of the experiment and its values; may be repeated
    --over FIELD=L..H  a range, for --random: log-uniform where L > 0
    --random N         draw N settings instead of the whole grid; --draw-seed S
    --seeds N          each setting with N seeds
    --how WAY          one (after another), processes (--workers N), population (alike
                       ones in one program), slurm (an array, with the options of
                       `slurm --help`; printed, or sent with --submit)
    --metric NAME      what to rank by
    --workdir FOLDER   where the runs and the table go
    --only N           run the N-th point alone, as a task of an array does
    """
    from launch.sweeps import points as sweep_points
    from launch.sweeps import running, table

    if not arguments or arguments[0] in ("-h", "--help"):
        print(main.__doc__)
        return 0 if arguments else 2
    if arguments[0].startswith("-"):
        raise UserError("which experiment? `launch/run list` names them")
    given = list(arguments)
    over, rest = take_all(given[1:], "--over")
    seeds, rest = take_number(rest, "--seeds", 1)
    draws, rest = take_number(rest, "--random", None)
    draw_seed, rest = take_number(rest, "--draw-seed", 0)
    workers, rest = take_number(rest, "--workers", 2)
    only, rest = take_number(rest, "--only", None)
    how, rest = take_option(rest, "--how")
    metric, rest = take_option(rest, "--metric")
    workdir, rest = take_option(rest, "--workdir")
    as_json, rest = take_flag(rest, "--json")
    how = how or "one"
    job: dict = {}
    submit, out = False, None
    if how == "slurm":
        job, submit, out, rest = slurm.read(rest)
    if how not in WAYS:
        raise UserError(f"--how {how}{suggestion(how, list(WAYS))}")
    if not over and (seeds or 1) < 2:
        raise UserError(
            "over what? --over optimizer.learning-rate=1e-3,1e-4 or --seeds 5"
        )
    axes = [sweep_points.axis(text) for text in over]
    chosen, found = sweep_points.points(
        given[0], rest, axes, seeds or 1, draws, draw_seed or 0
    )
    folder = Path(workdir or Path("runs") / f"sweep_{chosen.name}")
    if only is not None:
        if not 0 <= only < len(found):
            raise UserError(
                f"--only {only}: this sweep's points are 0 to {len(found) - 1}"
            )
        found = [found[only]]
    left = running.missing(found, folder)
    if left and len(left) < len(found):
        print(f"sweep: {len(found) - len(left)} of {len(found)} are done already")
    ended = "done"
    if how == "slurm":
        return _array(given, len(found), folder, chosen.name, job, submit, out)
    if left and how == "one":
        ended = running.one_after_another(chosen.name, chosen.claim, left, folder)
    elif left and how == "population":
        ended = running.population(chosen.name, chosen.claim, left, folder)
    elif left:
        ended = running.processes(left, folder, workers or 1)
    if ended in ("interrupted", "preempted"):
        print(
            f"{ended}, saved; go on with: {shlex.join(['launch/run', 'sweep', *given])}"
        )
        return EXIT_CODES[ended]
    if only is not None:
        return EXIT_CODES[running.verdict(folder / found[0].name) or "nan"]
    best = table.choose_metric(found, folder, metric)
    if best is None:
        raise UserError(f"no run in {folder} came to an end that was measured")
    made = table.rows(found, folder, *best)
    picture = table.write(made, folder, *best)
    if as_json:
        print(json.dumps(json.loads((folder / "sweep.json").read_text())))
        return 0
    print("\n".join(table.lines(made, *best)))
    print(f"table: {folder / 'sweep.md'}, picture: {picture}")
    return 0


def _array(
    given: list[str],
    count: int,
    folder: Path,
    name: str,
    wanted: dict,
    submit: bool,
    out: str | None,
) -> int:
    """A job array: each task is this command, for one point."""
    from launch.clusters import slurm as scripts

    start = scripts.runner(wanted.pop("runner"))
    _, _, _, plain = slurm.read(given)
    _, plain = take_option(plain, "--how")
    job = scripts.Job(
        name=wanted.pop("name") or f"sweep_{name}",
        command=(*start, "sweep", *plain),
        logs=folder,
        array=f"0-{count - 1}",
        **wanted,
    )
    return slurm.deliver(job, submit, out)
