"""`repeat`: the same run again from what it recorded, and whether the numbers match."""

import json
import shutil
import subprocess

import pytest

from launch.repeat import compare
from research.errors import UserError
from research.training import stamp as stamps


@pytest.fixture(scope="module")
def run(launch, tmp_path_factory):
    """A small run, and what came of repeating it."""
    workdir = tmp_path_factory.mktemp("repeat") / "run"
    command = (
        "train seed_lstm --steps 6 --batch-size 8 --model.hidden 4 "
        "--validation-examples 20 --checkpoint-every 3 --log-every 1"
    )
    code, _, error = launch.within(*command.split(), "--workdir", workdir)
    assert code == 0, error
    return workdir, launch.within("repeat", workdir, "--json")


def test_the_numbers_match_bit_for_bit(run, launch):
    workdir, (code, out, error) = run
    assert code == 0, error
    found = json.loads(out.splitlines()[-1])
    assert found["matches"]
    assert found["step"] == 6
    # The files are those of whoever works here meanwhile.
    changed = {line.split()[0].rstrip(":") for line in found["not_as_it_was"]}
    assert changed <= {"commit", "diff", "untracked"}
    again = workdir.with_name("run_repeated")
    assert found["hash"] == launch.hashes(again)[6] == launch.hashes(workdir)[6]


def test_what_was_trained_before_is_told_so_and_not_taken_for_other_code(run, launch):
    workdir, _ = run
    config = workdir.with_name("run_repeated") / "config.json"
    about = json.loads(config.read_text())
    for then, code, says in (
        # The files are those of whoever works here meanwhile.
        (stamps.stamp(), 0, "now only compared; --workdir NEW"),
        (stamps.stamp() | {"commit": "another"}, 2, "(commit another → "),
    ):
        config.write_text(json.dumps(about | {"stamp": then}))
        found = launch.within("repeat", workdir)
        assert found[0] == code, found
        assert says in found[1] + found[2]


def test_a_number_that_changed_is_named(run, tmp_path):
    workdir, _ = run
    other = tmp_path / "other"
    shutil.copytree(workdir, other)
    summary = json.loads((other / "summary.json").read_text())
    summary["metrics"]["loss"]["value"] += 1e-9
    (other / "summary.json").write_text(json.dumps(summary))
    text = (other / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    changed = [line for line in lines if "loss" in line][3]
    changed["loss"] += 1e-9
    (other / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    found = compare(workdir, other)
    assert not found["metrics_equal"]
    assert list(found["metrics_that_differ"]) == ["loss"]
    assert found["first_step_that_differs"] == changed["step"]
    assert found["state_equal"]
    shutil.rmtree(other / "checkpoints")
    with pytest.raises(UserError, match="other has no checkpoint: nothing to compare"):
        compare(workdir, other)


def test_a_run_that_went_on_with_other_code_is_told_so(run, launch, tmp_path):
    workdir, _ = run
    old = tmp_path / "old"
    shutil.copytree(workdir, old)
    stamp = json.loads((old / "config.json").read_text())["stamp"] | {"commit": "abc"}
    (old / "starts.json").write_text(json.dumps([{"step": 8, "stamp": stamp}]))
    code, out, error = launch.within("repeat", old)
    assert code == 0, error
    assert "not as it was: from step 8 on: commit " in out
    assert " → abc\n" in out


def test_the_stamp_has_all_that_a_run_is_made_from(run):
    workdir, _ = run
    stamp = json.loads((workdir / "config.json").read_text())["stamp"]
    assert {
        "commit", "dirty", "diff", "untracked", "command", "versions", "environment",
        "device", "devices", "topology", "python", "forks",
    } <= set(stamp)  # fmt: skip
    assert stamp["topology"]["processes"] == 1
    assert stamps.differing(stamp, stamp) == []
    changed = stamp | {"devices": 1, "diff": "+1"}
    found = stamps.differing(changed, stamp)
    assert any("devices 1 → " in line for line in found)
    assert any("diff: the files are not those" in line for line in found)


def test_uncommitted_changes_are_kept(tmp_path, monkeypatch):
    def git(*words):
        names = ["-c", "user.name=t", "-c", "user.email=t@t"]
        subprocess.run(["git", *names, *words], cwd=tmp_path, check=True)

    git("init", "--quiet")
    (tmp_path / "a.txt").write_text("one\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    monkeypatch.setattr(stamps, "ROOT", tmp_path)
    clean = stamps.stamp()
    assert (clean["dirty"], clean["diff"], clean["untracked"]) == (False, "", {})
    (tmp_path / "a.txt").write_text("two\n")
    (tmp_path / "new é.txt").write_text("")
    found = stamps.stamp()
    assert found["dirty"]
    assert "-one" in found["diff"]
    assert "+two" in found["diff"]
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert found["untracked"] == {"new é.txt": empty}


@pytest.mark.parametrize("with_git", [True, False])
def test_a_forks_changes_are_kept_too(tmp_path, monkeypatch, with_git):
    def git(*words):
        names = ["-c", "user.name=t", "-c", "user.email=t@t"]
        subprocess.run(["git", *names, *words], cwd=tmp_path, check=True)

    part = tmp_path / "forked_lab" / "losses" / "cubic.py"
    part.parent.mkdir(parents=True)
    part.write_text("A = 1\n")
    (tmp_path / "beside.txt").write_text("")
    if with_git:
        git("init", "--quiet")
        git("add", ".")
        git("commit", "--quiet", "-m", "one")
    monkeypatch.syspath_prepend(tmp_path)
    config = {"task": {"loss": "forked_lab.losses.cubic"}, "data": {"name": "digits"}}
    before = stamps.stamp([config])
    assert list(before["forks"]) == ["forked_lab"]
    assert bool(before["forks"]["forked_lab"]["commit"]) == with_git
    part.write_text("A = 2\n")
    monkeypatch.setenv("FORKS", "forked_lab")
    after = stamps.stamp()
    assert stamps.differing(before, after, ("forks",)) == [
        "fork forked_lab: the files are not those of then"
    ]
    assert ("+A = 2" in after["forks"]["forked_lab"]["diff"]) == with_git
    if with_git:
        git("commit", "--quiet", "-am", "two")
        (told,) = stamps.differing(before, stamps.stamp(), ("forks",))
        assert told.startswith("fork forked_lab: commit ")
    monkeypatch.delenv("FORKS")
    (told,) = stamps.differing(before, stamps.stamp(), ("forks",))
    assert told == "fork forked_lab: not here now"
    assert stamps.differing({}, stamps.stamp(), ("forks",)) == []  # as older runs are


def test_mistakes(launch, tmp_path, run):
    code, _, error = launch.within("repeat", tmp_path)
    assert (code, "holds no run" in error) == (2, True)
    workdir, _ = run
    code, _, error = launch.within("repeat", workdir, "--workdir", f"{workdir}/")
    assert (code, "is the run itself: give another" in error) == (2, True)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(workdir, unfinished)
    (unfinished / "summary.json").write_text('{"verdict": "nan"}')
    code, _, error = launch.within("repeat", unfinished)
    assert (code, "did not come to its end" in error) == (2, True)
