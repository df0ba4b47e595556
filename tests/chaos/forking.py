"""Starts `python -m launch` over and over: each a fork that need not import again.

Of the five seconds of CPU that a start takes, three are imports. They are made here
once, before any device is looked for; a fork is from there on a process like any other:
it has its own devices and threads, and a signal ends it and nothing else.

stdin: a JSON list a line, the file for its output and launch's arguments. stdout: the
number of the process, and when it has ended, how (as `os.waitpid` tells it).
"""

import json
import os
import sys
from typing import NoReturn

from launch.__main__ import prepare_environment, start

prepare_environment()

from launch import train  # noqa: E402
from research import parts  # noqa: E402
from research.reports import page, runs  # noqa: E402
from research.training import run  # noqa: E402

MADE = (train, page, runs, run)
# Parts are imported by name, and bring scikit-learn and matplotlib with them.
for family, name in (
    ("experiments", "ring"),
    ("experiments", "text_lstm"),
    ("research.data", "digits_8"),
    ("research.data", "text"),
    ("research.features", "digits_8"),
    ("research.losses", "relativistic"),
):
    parts.find(family, name)


def become(output: str, arguments: list[str]) -> NoReturn:
    """Makes this process a start of its own."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    sys.argv = ["launch", *arguments]
    start(arguments)


for line in sys.stdin:
    output, *arguments = json.loads(line)
    number = os.fork()
    if number == 0:
        become(output, arguments)
    print(number, flush=True)
    print(os.waitpid(number, 0)[1], flush=True)
