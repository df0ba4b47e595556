"""preflight NAME --target v5e-8: compiles the real step for hardware not here."""

import json
from collections.abc import Iterator, Mapping

import jax

from launch._settings import choose, take_flag, take_option
from research.errors import UserError
from research.experiment import Experiment

OPTIONS = (
    "--target SLICE",
    "--largest-batch",
    "--json (an object a line, one for each program)",
    "--out FILE (for the same lines of JSON, beside the words)",
)


def main(arguments: list[str]) -> int:
    """`preflight NAME --target SLICE [--largest-batch] [--json] [settings]`.

    --json is an object a line, one for each program: a comparison has several, and so
    may a population. --out FILE keeps the same lines beside what is printed.
    Exit code 1: it does not fit.
    """
    # The compilers are plugins that JAX would take for accelerators: `launch/run` says
    # so by a variable, which is read when jax is imported.
    if not jax.config.jax_platforms:  # type: ignore[attr-defined]
        jax.config.update("jax_platforms", "cpu")
    from launch.ahead import findings, targets
    from launch.ahead import told as words
    from launch.clusters import tools
    from research.experiment import members

    target, rest = take_option(arguments, "--target")
    as_json, rest = take_flag(rest, "--json")
    out, rest = take_option(rest, "--out")
    largest, rest = take_flag(rest, "--largest-batch")
    if not rest or rest[0].startswith("-"):
        raise UserError("which experiment? `launch/run list` names them")
    if target is None and not {"-h", "--help"} & set(rest):
        raise UserError("which hardware? --target v5e-8, v4-8, v5p-8, v6e-8, h100-8 …")
    place = targets.find(target or "v5e-8")
    chosen = choose(rest[0], rest[1:], OPTIONS)
    fits = True
    runs = members(chosen.settings) or {chosen.name: chosen.settings}
    with tools.kept(out) as keep:
        for name, population in _programs(runs):
            together = [*population.values()]
            found = findings.find(name, together, place)
            most = findings.largest_batch(name, together, place) if largest else None
            fits &= found.fits
            also = {"runs": [*population], "largest_batch": most and most._asdict()}
            line = json.dumps(found.to_dict() | also)
            keep(f"{line}\n")
            for told in [line] if as_json else words.lines(found, [*population], most):
                print(told, flush=True)
    return 0 if fits else 1


def _programs(
    runs: Mapping[str, Experiment],
) -> Iterator[tuple[str, dict[str, Experiment]]]:
    """What one program trains at once: a run, its population, or some of that."""
    from research import population

    for name, experiment in runs.items():
        members = population.members(experiment)
        for group in population.alike(members):
            yield name, {member: members[member] for member in group}
