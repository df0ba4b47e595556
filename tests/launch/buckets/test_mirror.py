"""A folder and its copy in a bucket: what counts there, what is sent, what goes."""

import shutil
from pathlib import Path

import pytest

from launch import buckets
from launch.buckets.mirror import Mirror


def test_half_a_checkpoint_is_not_read(remote):
    for run in ("", "member/"):
        remote.put(f"{run}checkpoints/4/data", "whole")
        remote.put(f"{run}checkpoints/4.whole", "")
        remote.put(f"{run}checkpoints/6/data", "ha")
    found = buckets.reading(remote.address)
    for place in (found, found / "member"):
        assert [p.name for p in (place / "checkpoints").iterdir()] == ["4"]


@pytest.mark.parametrize("run", ["", "member/"])
def test_old_checkpoints_go_and_only_what_changed_is_sent(remote, tmp_path, run):
    place = tmp_path / "run" / run / "checkpoints"
    for step in ("2", "4", "6.orbax-checkpoint-tmp"):
        (place / step).mkdir(parents=True)
        (place / step / "data").write_text(step)
    (tmp_path / "run" / "metrics.jsonl").write_text("{}")
    half = tmp_path / "run" / run / "samples" / ".new"  # as `record.samples` writes
    half.mkdir(parents=True)
    for file in (half / "final.npy", half.parent / "final.npy.new"):
        file.write_text("ha")
    for step in (4, 3):  # and 3 is gone here since then
        remote.put(f"{run}checkpoints/{step}/of a push that was killed", "ha")
    mirror = Mirror(remote.address, tmp_path / "run")
    mirror.compare(mirror.names())
    mirror.push()
    everything = [
        "metrics.jsonl",
        *(f"{run}checkpoints/{n}" for n in ("4/data", "4.whole", "2/data", "2.whole")),
    ]
    # The record first, a mark last, the newest before.
    assert remote.bucket.sent == everything
    assert remote.names() == set(everything)
    mirror.push()
    assert remote.bucket.sent == everything
    # One that went back and trained on saves the same step anew.
    (place / "4" / "data").write_text("4 again")
    shutil.rmtree(place / "2")
    (tmp_path / "run" / "metrics.jsonl").unlink()  # as what told of an end that is not
    remote.put("notes.txt", "by hand")
    mirror.push()
    assert remote.get(f"{run}checkpoints/4/data") == "4 again"
    assert remote.names() == {
        "notes.txt", f"{run}checkpoints/4/data", f"{run}checkpoints/4.whole"
    }  # fmt: skip
    shutil.rmtree(tmp_path / "run")  # by who cleans the cache: the bucket has it still
    with pytest.raises(FileNotFoundError):
        mirror.push()
    assert f"{run}checkpoints/4.whole" in remote.names()


def test_a_checkpoint_goes_while_the_folder_is_read(remote, tmp_path, monkeypatch):
    place, is_file = tmp_path / "checkpoints", Path.is_file
    for step in ("4", "6"):
        (place / step).mkdir(parents=True)
        (place / step / "data").write_text(step)

    def other_goes(path, **how):
        for step in {"4", "6"} - set(path.parts) if place in path.parents else ():
            shutil.rmtree(place / step, ignore_errors=True)
        return is_file(path, **how)

    monkeypatch.setattr(Path, "is_file", other_goes)
    (left,) = Mirror(remote.address, tmp_path).here()
    assert left in ("checkpoints/4/data", "checkpoints/6/data")
