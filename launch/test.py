"""test: runs all tests, or pytest with any of its arguments; --fork over a fork.

`test chaos` ends runs at random moments, as often as the README's numbers need, and
`test compilers` asks the TPU's compiler for many more sizes than all tests do, and the
CPU for the longest sequence; it takes every experiment through `preflight`.
"""

import os
import sys

# One file is one process's, so that what a file sets up is set up once; one more than
# there are cores, for some wait on others, and four at most, as each takes a GB or two.
PROCESSES = min((os.cpu_count() or 1) + 1, 4)
# Without the option files of few tests come last, and of these are the longest.
SIDE_BY_SIDE = ("-n", str(PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder")

# The tests that run over every part they find.
CONTRACTS = ("tests/research", "tests/kernels/lstm/test_lstm_contract.py")

# What has sizes that are compiled for minutes.
WIDE = (
    "tests/kernels/lstm",
    "tests/launch/test_preflight.py",
    "tests/launch/test_preflight_wide.py",
)

# Runs that are cut short: of one process, of several.
CHAOS = ("tests/chaos", "tests/launch/test_processes.py")


def main(arguments: list[str]) -> int:
    """`test [chaos|compilers] [--fork PACKAGE] [pytest's arguments]`; becomes pytest.

    Without arguments all tests run, several files at once.

    chaos           the full form of what cuts runs short; all tests hold a short form
    compilers       the largest sizes and fifty odd ones, compiled for every TPU; and
                    the longest sequence
    --fork PACKAGE  only what the tests of this repository say of that package's parts
    """
    from launch._settings import take_option

    fork, arguments = take_option(arguments, "--fork")
    if fork is not None:
        arguments = [*CONTRACTS, *arguments, "-k", fork]
        os.environ["FORK_BACKENDS"] = " ".join(_backends(fork))
        os.environ["FORKS"] = fork
    if arguments[:1] == ["compilers"]:
        arguments = [*WIDE, "-m", "wide", *SIDE_BY_SIDE, *arguments[1:]]
    if arguments[:1] == ["chaos"]:
        arguments = [*CHAOS, "-s", "--timeout", "7200", *arguments[1:]]
        os.environ["CHAOS"] = "full"
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "0"  # as users' runs are
    arguments = arguments or list(SIDE_BY_SIDE)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])


def _backends(fork: str) -> list[str]:
    """Kernel backends of a fork: the files of its folder `backends`."""
    from pathlib import Path

    from research import parts
    from research.errors import UserError

    found = parts.folders(fork)
    if not found:
        raise UserError(f"--fork {fork}: no such package; PYTHONPATH has to lead to it")
    stems = (f.stem for f in sorted((Path(found[0]) / "backends").glob("[!_]*.py")))
    return [f"{fork}.backends.{stem}" for stem in stems]
