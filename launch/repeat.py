"""repeat WORKDIR: runs it again as recorded, and says whether the numbers match."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launch import buckets


def main(arguments: list[str]) -> int:
    """`repeat WORKDIR [--workdir NEW] [--json]`; exit code 1 where numbers differ."""
    parser = argparse.ArgumentParser(prog="launch/run repeat")
    parser.add_argument("workdir")
    parser.add_argument("--workdir", dest="new", help="default: WORKDIR_repeated")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)

    from launch.train import EXIT_CODES, verdict_of
    from research.errors import UserError
    from research.settings import from_dict
    from research.training.files import read_json, read_starts
    from research.training.run import run_all
    from research.training.stamp import changes_on_the_way, differing, stamp
    from research.training.stop import listening

    old = buckets.reading(options.workdir)
    place = options.new or f"{options.workdir.rstrip('/')}_repeated"
    if Path(place).resolve() == Path(options.workdir).resolve():
        raise UserError(f"--workdir {place} is the run itself: give another")
    about = read_json(old / "config.json")
    if read_json(old / "summary.json")["verdict"] != "done":
        raise UserError(f"{old} did not come to its end: `launch/run train` it first")
    experiment, now = from_dict(about["config"]), stamp([about["config"]])
    changed = differing(about["stamp"], now) + changes_on_the_way(read_starts(old))
    with listening() as stop, buckets.training(place, stop) as new:
        refuse_of_another_time(new, now)
        before = ended_at(new)
        for line in [] if options.json else changed:
            print(f"not as it was: {line}")
        found = run_all(about["experiment"], about["claim"], {new: experiment}, stop)
    verdict = verdict_of(summary["verdict"] for summary in found.values())
    if verdict in ("interrupted", "preempted"):
        print(f"{verdict}, saved; the same command goes on")
        return EXIT_CODES[verdict]
    trained = ended_at(new) != before
    if not (trained or options.json):
        when = read_json(new / "config.json")["stamp"]["started"]
        print(f"trained at {when}, now only compared; --workdir NEW trains it again")
    result = compare(old, new) | {
        "not_as_it_was": changed,
        "workdir": str(place),
        "trained_now": trained,
    }
    same = result["metrics_equal"] and result["state_equal"]
    if options.json:
        print(json.dumps(result | {"matches": same}))
    else:
        for line in told(result):
            print(line)
    return 0 if same else 1


def refuse_of_another_time(new: Path, now: dict[str, Any]) -> None:
    """Raises UserError for a finished run that is not what would be trained now.

    Args:
      new: the workdir that a run is repeated in.
      now: the stamp of this moment.
    """
    from research.errors import UserError
    from research.training.files import read_json
    from research.training.stamp import differing

    if ended_at(new) is None or read_json(new / "summary.json")["verdict"] != "done":
        return
    then = read_json(new / "config.json")["stamp"]
    if since := differing(then, now):
        raise UserError(
            f"{new} was trained at {then['started']} already, and not as it would be "
            f"now ({'; '.join(since)}): give another --workdir"
        )


def ended_at(workdir: Path) -> int | None:
    """When a run's summary was written, in nanoseconds; None of one without."""
    file = workdir / "summary.json"
    return file.stat().st_mtime_ns if file.exists() else None


def compare(old: Path, new: Path) -> dict[str, Any]:
    """Final metrics, every logged line, and the last state's hash, side by side."""
    from research.errors import UserError
    from research.training.files import read_json, read_metrics
    from research.training.hashing import state_hash
    from research.training.trained import kept_states

    places = (old, new)
    summaries = [read_json(place / "summary.json") for place in places]
    logs = [[_plain(line) for line in read_metrics(place)] for place in places]
    (step, before), (_, after) = (_last(kept_states(place), place) for place in places)
    if before is None or after is None:
        damaged = old if before is None else new
        raise UserError(
            f"the last checkpoint of {damaged} is damaged: nothing to compare"
        )
    first = next(
        (a["step"] for a, b in zip(*logs, strict=False) if a != b),
        None if len(logs[0]) == len(logs[1]) else min(len(log) for log in logs),
    )
    metrics = [summary["metrics"] for summary in summaries]
    changed = {
        name: [m[name]["value"] if name in m else None for m in metrics]
        for name in metrics[0] | metrics[1]
        if metrics[0].get(name) != metrics[1].get(name)
    }
    return {
        "step": step,
        "metrics_equal": not changed and first is None,
        "state_equal": state_hash(before) == state_hash(after),
        "first_step_that_differs": first,
        "metrics_that_differ": changed,
        "hash": state_hash(after),
    }


def _last(states: Iterator[tuple[int, Any]], workdir: Path) -> tuple[int, Any]:
    from research.errors import UserError

    found = None
    for found in states:  # noqa: B007
        pass
    if found is None:
        raise UserError(f"{workdir} has no checkpoint: nothing to compare")
    return found


def told(result: dict[str, Any]) -> list[str]:
    """The comparison in words."""
    if result["metrics_equal"] and result["state_equal"]:
        short = result["hash"][:16]
        return [
            f"the numbers match: every metric, and the state of step {result['step']} "
            f"bit for bit (SHA-256 {short}…)"
        ]
    lines = ["the numbers do not match"]
    if result["first_step_that_differs"] is not None:
        lines.append(
            f"  logged lines differ from step {result['first_step_that_differs']}"
        )
    for name, (old, new) in result["metrics_that_differ"].items():
        lines.append(f"  {name}: {old} → {new}")
    if not result["state_equal"]:
        lines.append(f"  the state of step {result['step']} is not the same")
    return lines


def _plain(line: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in line.items() if name != "seconds"}
