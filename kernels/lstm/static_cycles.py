"""How many cycles a TPU takes for a time step, as its compiler foresees it.

Nothing runs, and no TPU is needed: the compiler that schedules every instruction also
says how long its schedule takes. That is an estimate to compare two programs by, and to
see a kernel get slower; it is not a measurement.

Each program of static_programs.py is compiled in a process of its own: the compiler
reads its flags once, and the one that writes the profile makes some versions abort on
some programs. There, the instructions of the finished schedule are counted instead.

  profile   the compiler's own profile: all iterations of a grid, and the copies
  bundles   instruction words of one iteration, over its steps; copies are taken to hide

`python -m kernels.lstm.static_cycles` remakes the golden numbers that a test holds the
kernels to.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from kernels.lstm.tpu_tiles import GENERATIONS

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("static_cycles.json")
SLOWER = 1.05  # of a golden number: what a change may cost unnoticed
KERNELS = ("forward", "forward_kept", "backward")
SCANS = ("scan", "scan_gradient")
CASES = ((64, 512), (64, 1024), (256, 512))  # batch, hidden


class Program(NamedTuple):
    """What is compiled: `name` is a function of static_programs.py."""

    name: str
    generation: str
    batch: int
    hidden: int
    dtype: str = "bfloat16"


GUARDED = (  # a few, for a compilation takes seconds
    Program("forward", "v5e", 64, 512),
    Program("forward", "v6e", 64, 256),
    Program("forward_kept", "v6e", 64, 512),
    Program("backward", "v5e", 64, 256),
)
LONG = (  # to compile: a minute of CPU each
    Program("forward", "v6e", 64, 512),
    Program("forward", "v6e", 256, 512),
    Program("backward", "v5e", 64, 512),
    Program("backward", "v6e", 64, 512),
    Program("forward", "v5e", 64, 1024),
    Program("forward", "v6e", 64, 1024),
)
UNPROFILED = ("v6e", 1024)  # generation, hidden: the profile had 19.6 GB when stopped


class Cycles(NamedTuple):
    a_step: float
    recipe: str  # profile or bundles


def floor(generation: str, batch: int, hidden: int) -> float:
    """Cycles of the matrix units for h·wh, if they never wait: 8·B·H² over their peak.

    A core has as many multipliers as four units of side × side.
    """
    return 8 * batch * hidden**2 / (2 * 4 * GENERATIONS[generation].side ** 2)


def compiler() -> str:
    """The compiler's version.

    Raises:
      ModuleNotFoundError: it is not installed.
    """
    try:
        return metadata.version("libtpu")
    except metadata.PackageNotFoundError:
        raise ModuleNotFoundError(
            "libtpu, the compiler, is not installed: pip install -e '.[preflight]'"
        ) from None


def measured(program: Program) -> Cycles:
    """Compiles a program, twice, in a process of its own.

    Raises:
      RuntimeError: neither recipe worked, with the end of what the compiler wrote.
    """
    compiler()
    said = ""
    for recipe in _recipes(program):
        done = _in_a_process(program, recipe)
        if done.returncode == 0:
            return Cycles(float(done.stdout.splitlines()[-1]), recipe)
        said = done.stderr[-500:]
    raise RuntimeError(f"{program} was not compiled: {said}")


def rows(
    generations: Sequence[str], cases: Sequence[tuple[int, int]] = CASES
) -> Iterator[dict[str, Any]]:
    """Rows for each generation and case, as soon as they are known.

    "forward+backward" is the forward kernel that keeps gates, the backward kernel and
    the GEMM of wh's gradient; its scan is differentiated by jax. Its floor is thrice
    that of the forward: three products of the same size.
    """
    for generation in generations:
        for batch, hidden in cases:
            size = (generation, batch, hidden)
            taken = {
                name: measured(Program(name, *size))
                for name in (*KERNELS, "weight_gradient", *SCANS)
            }
            both = ("forward_kept", "backward", "weight_gradient")
            for what, parts, scan, times in (
                ("forward", KERNELS[:1], "scan", 1),
                ("backward", KERNELS[2:], None, 1),
                ("forward+backward", both, "scan_gradient", 3),
            ):
                cycles = sum(taken[part].a_step for part in parts)
                of_scan = taken[scan].a_step if scan else None
                least = times * floor(*size)
                yield {
                    "bench": "lstm",
                    "case": f"batch {batch}, {hidden} → {hidden}, bfloat16",
                    "backend": "pallas_tpu",
                    "what": what,
                    "generation": generation,
                    "unit": "cycles a step, by the compiler",
                    "cycles": cycles,
                    "recipes": sorted({taken[part].recipe for part in parts}),
                    "scan": of_scan,
                    "fewer": of_scan / cycles if of_scan else None,
                    "floor": least,
                    "over_floor": cycles / least,
                    "libtpu": compiler(),
                }


def told(row: dict[str, Any]) -> str:
    """A row of `rows` for a person."""
    scan = "" if row["scan"] is None else f"  {row['fewer']:.2f}× fewer than lax.scan's"
    scan += "" if row["scan"] is None else f" {row['scan']:,.0f}"
    return (
        f"{row['generation']:4} {row['case']:32} {row['what']:17} "
        f"{row['cycles']:7,.0f} cycles a step ({'+'.join(row['recipes'])})  "
        f"{row['over_floor']:.2f} × the floor of {row['floor']:,.0f}{scan}"
    )


def remade(programs: Sequence[Program]) -> dict[str, Any]:
    """What belongs into GOLDEN."""
    cycles: dict[str, Any] = {}
    for program in programs:
        taken = measured(program)
        cycles[key(program)] = {"cycles": round(taken.a_step, 1), "by": taken.recipe}
    return {"libtpu": compiler(), "a_step": cycles}


def key(program: Program) -> str:
    """What a program is called in GOLDEN."""
    return f"{program.name} {program.generation} B{program.batch} H{program.hidden}"


def _recipes(program: Program) -> tuple[str, ...]:
    """What is tried, in order; only kernels have bundles to count."""
    if program.name not in KERNELS:
        return ("profile",)
    if (program.generation, program.hidden) == UNPROFILED:
        return ("bundles",)
    return ("profile", "bundles")


def _in_a_process(program: Program, recipe: str) -> subprocess.CompletedProcess:
    with tempfile.TemporaryDirectory() as folder:
        flags = {
            "profile": f"--xla_jf_dump_static_llo_profile_to={folder}",
            "bundles": f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true",
        }
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "LIBTPU_INIT_ARGS": flags[recipe],
        }
        child = ("-m", "kernels.lstm.static_programs", recipe, folder)
        return subprocess.run(
            (sys.executable, *child, json.dumps(program)),
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


if __name__ == "__main__":  # remakes the golden numbers
    GOLDEN.write_text(json.dumps(remade((*GUARDED, *LONG)), indent=1) + "\n")
