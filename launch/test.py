"""test: runs pytest over the tests, with any of its arguments."""

import os
import sys


def main(arguments: list[str]) -> int:
    """`test [pytest's arguments]`; becomes pytest and does not return."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])
