"""Parts in a process that is killed: one that ends, one that fails, dies and hangs."""

import functools
import subprocess
import time

from research.bench import killable

SHELL = functools.partial(subprocess.check_output, shell=True, text=True)


def lives(pid: str) -> bool:
    shown = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True)
    return shown.stdout.strip()[:1] not in (b"", b"Z")


def test_no_part_stops_the_others(tmp_path):
    hangs = f"echo $$ > {tmp_path}/pid; exec sleep 600"
    parts = ["echo 1", hangs, "exit 3", "kill -9 $PPID", "echo 2"]
    limits, end = {hangs: 2.0}, time.monotonic() + 120
    ended = list(killable.each(SHELL, parts, lambda p: limits.get(p, 60.0), end))
    assert [e.part for e in ended] == parts
    assert [e.value for e in ended] == ["1\n", None, None, None, "2\n"]
    first, hung, failed, died, last = (e.state for e in ended)
    assert (first, last) == ("done", "done")
    assert hung == "killed: it had not ended after 2 s"
    assert failed.startswith("failed: CalledProcessError: Command 'exit 3'")
    assert died == "failed: its process ended with code -9"
    # What it had started does not go on.
    assert not lives((tmp_path / "pid").read_text().strip())


def test_what_the_end_cuts_off_is_left_for_another_time():
    soon = time.monotonic() + 0.5
    parts = ["exec sleep 600", "echo 1"]
    assert list(killable.each(SHELL, parts, lambda _: 60.0, soon)) == []
