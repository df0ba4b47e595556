"""A batch script for SLURM: the same `train`, requeued until it is done.

SLURM sends SIGTERM some time before the limit and at a preemption. `train` saves and
ends with code 85, upon which the script puts the job back into the queue.
"""

import contextlib
import shlex
from pathlib import Path
from typing import NamedTuple

from launch.clusters import tools
from research.errors import UserError
from research.training.stop import PREEMPTED

NOTICE = 120  # seconds before the limit


class Job(NamedTuple):
    """What SLURM is asked for."""

    name: str
    command: tuple[str, ...]  # of each task
    logs: Path
    nodes: int = 1
    time: str = "04:00:00"
    options: tuple[str, ...] = ()  # more of sbatch's own, e.g. --gres=gpu:8
    array: str | None = None  # e.g. 0-9%2
    notice: int = NOTICE


def script(job: Job) -> str:
    """The text for `sbatch`.

    Raises:
      UserError: an option that its header cannot hold.
    """
    if job.nodes < 1:
        raise UserError(f"--nodes is {job.nodes}: give 1 or more")
    number = "%A_%a" if job.array else "%j"
    header = [
        f"--job-name={tools.checked_word('--name', job.name)}",
        f"--nodes={job.nodes}",
        "--ntasks-per-node=1",
        f"--time={tools.checked_word('--time', job.time)}",
        f"--output={_path(job.logs)}/slurm_{number}.txt",
        "--open-mode=append",
        "--requeue",
        f"--signal=TERM@{job.notice}",
        *(tools.checked_word("--sbatch", option) for option in job.options),
    ]
    if job.array:
        tools.checked_word("--array", job.array.replace("%", ""))  # 0-9%2: two at once
        header.append(f"--array={job.array}")
    distributed = "export LAUNCH_DISTRIBUTED=slurm\n" if job.nodes > 1 else ""
    lines = "\n".join(f"#SBATCH {option}" for option in header)
    # The task's number is expanded by the shell, all else is quoted.
    command = shlex.join(job.command)
    if job.array:
        command += ' --only "$SLURM_ARRAY_TASK_ID"'
    return f"""#!/usr/bin/env bash
{lines}
set -uo pipefail
cd {shlex.quote(str(tools.ROOT))}
{distributed}srun --kill-on-bad-exit=1 --label \\
  {command}
code=$?
if [[ $code == {PREEMPTED} ]]; then
  echo "stopped and saved: back into the queue"
  scontrol requeue "${{SLURM_ARRAY_JOB_ID:+${{SLURM_ARRAY_JOB_ID}}_}}${{SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}}"
fi
exit "$code"
"""  # noqa: E501


def submit(job: Job) -> str:
    """Hands the job to SLURM; its number and where the logs are, in words.

    Raises:
      UserError: no SLURM here, or it refuses. No folder is left for its logs.
    """
    tools.needed("sbatch")
    text = script(job)
    new = [at for at in (job.logs, *job.logs.parents) if not at.exists()]
    # Before the job may start: SLURM makes no folder for its output.
    job.logs.mkdir(parents=True, exist_ok=True)
    try:
        number = tools.output(["sbatch", "--parsable"], text).partition(";")[0]
    except BaseException:
        with contextlib.suppress(OSError):  # another command's files are in it
            for folder in new:
                folder.rmdir()
        raise
    return f"job {number}: logs in {job.logs}/slurm_*.txt"


def runner(words: str | None) -> tuple[str, ...]:
    """What starts a verb on a node.

    Raises:
      UserError: a quotation that does not end.
    """
    try:
        return tuple(shlex.split(words)) if words else ("launch/run",)
    except ValueError as error:
        raise UserError(f"--runner {words}: {error}: quote it as in a shell") from None


def _path(folder: Path) -> str:
    """A folder in a header: SLURM reads % as a pattern, and ends at a space."""
    text = str(folder.absolute())
    return tools.checked_word("--workdir", text)
