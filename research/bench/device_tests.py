"""The tests of the GPU kernels on this device, in a process of their own.

Blocks of a kernel that wait for ever print nothing more, and are killed; what is only
slow to compile goes on to the limit, and is no proof of anything.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, NamedTuple

from research.bench.killable import DONE, FAILED, KILLED

ROOT = Path(__file__).parents[2]
FILE = "tests/kernels/lstm/device/test_gpu_device.py"
# pytest's -k: every test is of one of these.
TESTS = {
    "stress": "stress",
    "large": "large",
    "bfloat16": "bfloat16 and not large",
    "others": "not (stress or large or float16 or float32)",
    "float16": "float16 and not (bfloat16 or large)",
    "float32": "float32",
}
# `bench` installs no plugin of pytest's, and a warning of some other version of a
# library says nothing of the kernels.
OPTIONS = ("-v", "-m", "gpu", "-p", "no:timeout", "-o", "filterwarnings=default")
QUIET = 100.0  # seconds without a line; a test takes a few, the first one imports


class Outcome(NamedTuple):
    state: str  # done, failed or killed, and what pytest said
    failed: list[str]  # names of tests


def run(which: str, limit: float, quiet: float = QUIET) -> Outcome:
    """One of TESTS.

    Args:
      limit: seconds that they may take.
      quiet: seconds that they may print nothing.
    """
    command = [sys.executable, "-m", "pytest", *OPTIONS, "-k", TESTS[which], FILE]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=error)
        cut_off = _watched(process, out, limit, quiet)
        printed, errors = _text(out), _text(error)
    failed = sorted({*_ids(printed, " FAILED"), *_ids(printed, " ERROR")})
    if cut_off:
        return Outcome(f"{cut_off} in {[FILE, *_ids(printed, '')][-1]}", failed)
    last = (printed or errors).splitlines()[-1:] or ["it printed nothing"]
    said = last[0].strip("= ")[:300]
    # Skipped is not passed.
    passed = process.returncode == 0 and " passed" in said and "skipped" not in said
    return Outcome(DONE if passed else f"{FAILED}: {said}", failed)


def _watched(
    process: subprocess.Popen, out: IO[str], limit: float, quiet: float
) -> str | None:
    """Waits for its end; says why it was killed, if it was."""
    began = heard = time.monotonic()
    size = 0
    while process.poll() is None:
        now, before = time.monotonic(), size
        size = os.fstat(out.fileno()).st_size
        heard = heard if size == before else now
        if now - heard > quiet or now - began > limit:
            process.kill()
            process.wait()
            if now - heard > quiet:
                return f"{KILLED}: nothing went on for {quiet:.0f} s"
            return f"{FAILED}: no end after {limit:.0f} s, and it was"
        time.sleep(0.1)
    return None


def _text(file: Any) -> str:
    file.seek(0)
    return file.read().strip()


def _ids(printed: str, verdict: str) -> list[str]:
    """Names of the tests of which pytest -v has printed a line."""
    found = re.findall(rf"^\S+::(\S.*?){verdict or '(?: [A-Z]+|$)'}", printed, re.M)
    return [name.strip() for name in found]
