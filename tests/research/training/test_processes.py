"""What processes that leave nothing leave, however they were ended."""

import os
import tempfile

import pytest

from research.training.processes import APART, FRESH, apart, clear_left


@pytest.fixture
def stdout_again():
    """Stdout, which `apart` closes for good."""
    kept = os.dup(1)
    yield
    os.dup2(kept, 1)
    os.close(kept)


def test_the_folders_of_killed_processes_are_cleared(
    tmp_path, monkeypatch, stdout_again
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, fresh, others = (tmp_path / name for name in (f"{APART}a", f"{APART}b", "c"))
    for folder in (left, fresh, others):
        folder.mkdir()
        (folder / "metrics.jsonl").write_text("")
    with apart() as mine:
        for folder in (left, mine, others):
            long_ago = folder.stat().st_mtime - FRESH - 1
            os.utime(folder, (long_ago, long_ago))
        clear_left()  # of a process that begins beside it
        assert {*tmp_path.iterdir()} == {mine, fresh, others}
    assert {*tmp_path.iterdir()} == {fresh, others}
