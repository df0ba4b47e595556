"""Timing several ways to do the same thing, fairly: in turns, with their spread.

A machine drifts (clocks, neighbours), so each round runs every contestant once and a
comparison is the median of the rounds' ratios, not a ratio of two medians taken
minutes apart.
"""

import importlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

MEAN = "geometric mean"  # the case of a row that is about all cases
Call = Callable[[], Any]  # runs once, and returns when the result is there


def interleaved(calls: Mapping[str, Call], runs: int) -> dict[str, np.ndarray]:
    """Milliseconds of each call, [runs].

    Before a call is timed it runs once untimed: the one before it has left the caches,
    and the worker threads of another library may still be spinning.
    """
    for call in calls.values():
        call()
    taken = {name: np.zeros(runs) for name in calls}
    for run in range(runs):
        for name, call in calls.items():
            call()
            start = time.perf_counter()
            call()
            taken[name][run] = 1e3 * (time.perf_counter() - start)
    return taken


def row(
    bench: str,
    case: str,
    backend: str,
    what: str,
    taken: Mapping[str, np.ndarray],
    yardsticks: tuple[str, ...] = (),
) -> dict[str, Any]:
    """One line of a bench's table, from `interleaved`'s result.

    Args:
      bench, case: which bench, and the name of the shape.
      backend: the contestant that the row is about, a key of `taken`.
      what: what was timed, e.g. "forward".
      yardsticks: others of `taken`. A ratio is their time over ours: above 1 we win.
        One that is the contestant itself is left out.
    """
    others = (name for name in yardsticks if name != backend)
    ratios = {name: _spread(taken[name] / taken[backend]) for name in others}
    own = {"unit": "ms", "runs": len(taken[backend]), "ratios": ratios}
    head = {"bench": bench, "case": case, "backend": backend, "what": what}
    return head | _spread(taken[backend]) | own


def means(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the geometric means over the cases of the rows' median ratios.

    One for each backend and what, in their order; `cases` says over how many.
    """
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for one in rows:
        groups.setdefault((one["bench"], one["what"], one["backend"]), []).append(one)
    return [
        {"bench": bench, "case": MEAN, "backend": backend, "what": what}
        | {"cases": len(group), "ratios": _geometric(group)}
        for (bench, what, backend), group in groups.items()
    ]


def _geometric(group: list[dict[str, Any]]) -> dict[str, float]:
    medians = {
        name: [row["ratios"][name]["median"] for row in group]
        for name in group[0]["ratios"]
    }
    return {name: float(np.exp(np.log(m).mean())) for name, m in medians.items()}


def yardstick(package: str) -> ModuleType:
    """Imports a library that is only needed to compare with.

    Raises:
      ModuleNotFoundError: one line that says how to get it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the bench compares with {package.partition('.')[0]}, which is not "
            f"installed: pip install -e '.[bench]'"
        ) from error


def torch_on_all_cores() -> ModuleType:
    """torch with as many threads as this process may use."""
    torch = yardstick("torch")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return torch


def _spread(values: np.ndarray) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {"median": float(middle), "q25": float(low), "q75": float(high)}
