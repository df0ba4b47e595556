"""slurm NAME: a batch script that trains on a SLURM cluster, requeued until done."""

from functools import partial
from pathlib import Path

from launch import buckets
from launch._settings import choose, take_all, take_flag, take_number, take_option
from launch.clusters import slurm, tools


def main(arguments: list[str]) -> int:
    """`slurm NAME [--nodes N] [--time T] [--sbatch OPTION …] [--submit] [settings]`.

    --nodes N        machines, one process on each with all its devices
    --time T         limit, e.g. 04:00:00; SIGTERM comes --notice seconds before it
    --sbatch OPTION  any of sbatch's own, e.g. --sbatch=--gres=gpu:8; may be repeated
    --name NAME      of the job
    --workdir FOLDER of the run, seen by all machines, or gs://BUCKET/FOLDER; then the
                     logs are in runs/NAME
    --runner WORDS   what starts a verb on a node instead of launch/run
    --out FILE       keep the script there
    --submit         hand it to sbatch; without it the script is printed
    Sweeps: `launch/run sweep … --how slurm` makes an array of one task a run.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(main.__doc__)
        return 0 if arguments else 2
    wanted, submit, out, rest = read(arguments[1:])
    name = arguments[0]
    workdir, rest = take_option(rest, "--workdir")
    buckets.refuse_kind(workdir or "")
    chosen = choose(name, rest)  # a mistake is told here, and not by a job next day
    # How many devices a machine has is the cluster's to know: one at least.
    tools.refuse_settings(chosen.settings, wanted["nodes"] or 1)
    logs = Path("runs") / chosen.name
    if workdir is not None and not buckets.is_bucket(workdir):
        logs = Path(workdir)
    start = slurm.runner(wanted.pop("runner"))
    job = slurm.Job(
        name=wanted.pop("name") or chosen.name,
        command=(*start, "train", name, *rest, "--workdir", workdir or str(logs)),
        logs=logs,
        **wanted,
    )
    return deliver(job, submit, out)


def read(arguments: list[str]) -> tuple[dict, bool, str | None, list[str]]:
    """The options of `slurm.Job`, --submit, --out, and the other arguments."""
    nodes, rest = take_number(arguments, "--nodes", 1)
    notice, rest = take_number(rest, "--notice", slurm.NOTICE)
    time, rest = take_option(rest, "--time")
    name, rest = take_option(rest, "--name")
    runner, rest = take_option(rest, "--runner")
    out, rest = take_option(rest, "--out")
    options, rest = take_all(rest, "--sbatch")
    submit, rest = take_flag(rest, "--submit")
    wanted = {
        "nodes": nodes,
        "notice": notice,
        "time": time or "04:00:00",
        "options": tuple(options),
        "name": name,
        "runner": runner,
    }
    return wanted, submit, out, rest


def deliver(job: slurm.Job, submit: bool, out: str | None) -> int:
    """Prints, keeps or submits a script."""
    submission = partial(slurm.submit, job) if submit else None
    tools.deliver(slurm.script(job), out, submission)
    return 0
