"""Parts in a process that is killed: one that ends, one that fails, dies and hangs."""

import functools
import subprocess
import time

from research.bench import killable

SHELL = functools.partial(subprocess.check_output, shell=True, text=True)
HANGS = "exec sleep 600"


def test_no_part_stops_the_others():
    parts = ["echo 1", "exit 3", "kill -9 $PPID", HANGS, "echo 2"]
    limits, end = {HANGS: 1.0}, time.monotonic() + 90
    ended = list(killable.each(SHELL, parts, lambda p: limits.get(p, 60.0), end))
    assert [e.part for e in ended] == parts
    assert [e.value for e in ended] == ["1\n", None, None, None, "2\n"]
    first, failed, died, hung, last = (e.state for e in ended)
    assert (first, last) == ("done", "done")
    assert failed.startswith("failed: CalledProcessError: Command 'exit 3'")
    assert died == "failed: its process ended with code -9"
    assert hung == "killed: it had not ended after 1 s"


def test_what_the_end_cuts_off_is_left_for_another_time(tmp_path):
    """And what it had started does not go on."""
    parts = [f"echo $$ > {tmp_path}/pid; exec sleep 600", "echo 1"]
    soon = time.monotonic() + 3
    assert list(killable.each(SHELL, parts, lambda _: 60.0, soon)) == []
    pid = (tmp_path / "pid").read_text().strip()
    left = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True)
    assert left.stdout.strip()[:1] in (b"", b"Z")
