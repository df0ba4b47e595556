"""`python -m launch VERB …`: one file in this folder is one verb.

A folder in it is what a verb is made of, where that is more than a file's worth.
A verb's module has `main(arguments) -> int`, the exit code. Mistakes of the user end
in one line on stderr and code 2.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from launch import _supervised
from launch._cache import cache
from launch._memory import collect_seldom, keep_freed_memory
from research.training.stop import INTERRUPTED, end_at_once, end_by_signals


def main(arguments: list[str]) -> int:
    """Runs a verb; returns its exit code."""
    collect_seldom()
    keep_freed_memory()
    from research import parts
    from research.errors import UserError

    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    verb, known = arguments[0], verbs()
    try:
        prepare_environment()
        if verb not in known:
            raise UserError(f"no such verb{parts.suggestion(verb, known)}")
        if verb == "train" and _supervised.is_parent():
            return _supervised.run(arguments)  # the imports are its child's
        return parts.find("launch", verb).main(arguments[1:])
    except UserError as error:
        print(f"{verb}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{verb}: interrupted", file=sys.stderr)
        return INTERRUPTED


def start(arguments: list[str]) -> NoReturn:
    """`main`, as all that this process does."""
    if arguments[:1] == ["train"]:
        end_by_signals()
    code = main(arguments)
    if code == INTERRUPTED:
        # A save that was cut off leaves threads of orbax (0.12.8) that wait for it for
        # minutes, and Python would wait for them.
        end_at_once(code)
    sys.exit(code)


def prepare_environment() -> None:
    """Settings that JAX reads when it is imported; what the user set stays.

    Raises:
      UserError: there is no home to keep what is compiled in.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache() / "xla")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
    # Collectives of several CPU devices starve a pool of fewer than four threads each.
    flags = os.environ.get("XLA_FLAGS", "").split("device_count=")[-1].split()
    devices = os.environ.get("JAX_NUM_CPU_DEVICES") or (flags or ["1"])[0]
    if devices.isdigit() and int(devices) > 1:
        threads = max(4 * int(devices), os.cpu_count() or 1)
        os.environ.setdefault("NPROC", str(threads))
    # Messages of C++ parts below errors are for their developers.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def verbs() -> list[str]:
    """The files of this folder, sorted; those with a leading underscore are none."""
    files = Path(__file__).parent.glob("[!_]*.py")
    return sorted(file.stem for file in files)


def usage() -> str:
    """The verbs with the first lines of their docstrings."""
    from research import parts

    rows = []
    for name in verbs():
        summary = (parts.find("launch", name).__doc__ or "").splitlines()[0]
        rows.append(f"  {name:10} {summary}")
    return "usage: launch/run VERB …\n\n" + "\n".join(rows)


if __name__ == "__main__":
    start(sys.argv[1:])
