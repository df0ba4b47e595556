"""`tpu` against a gcloud that writes down its calls and plays failures."""

import shlex
import subprocess

import pytest

from launch.__main__ import main
from launch.clusters import queued, sources, tools, until_done
from research.errors import UserError

BUCKET = "gs://mine/runs/a"
COMMAND = (
    f"tpu seed_lstm --target v5e-8 --zone us-west4-a --workdir {BUCKET} "
    "--code archive --name mine --batch-size 96"
)


def where(calls, verb):
    return [c for c in calls if verb in c[:5]]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(until_done.time, "sleep", lambda _: None)


@pytest.fixture
def gcloud(fake):
    """Nothing there; asked for, it is provisioned and then active."""
    found = fake("gcloud")
    found.answer("describe", err="ERROR: NOT_FOUND: no such request", code=1, times=1)
    found.answer("describe", out="WAITING_FOR_RESOURCES", times=2)
    return found


def test_a_run_from_request_to_teardown(gcloud, capfd):
    gcloud.answer("describe", out="ACTIVE")
    gcloud.answer("--command=cd gan", out="step 40: told by a worker\n")
    assert main([*COMMAND.split(), "--teardown", "yes"]) == 0
    calls = gcloud.calls
    (create,) = where(calls, "create")
    assert create[:5] == ["compute", "tpus", "queued-resources", "create", "mine"]
    for word in ("--zone=us-west4-a", "--node-id=mine",
                 "--accelerator-type=v5litepod-8",
                 "--runtime-version=v2-alpha-tpuv5-lite"):  # fmt: skip
        assert word in create
    assert "--spot" not in create
    (copy,) = where(calls, "scp")
    assert copy[5] == "mine:gan-lstm-lab.tar.gz"
    prepare, unpack, train = where(calls, "ssh")
    assert "--worker=all" in unpack
    assert f"--command={queued.UV}" in prepare
    assert "--worker=all" in train
    (sent,) = [w for w in train if w.startswith("--command=")]
    assert sent == (
        '--command=cd gan-lstm-lab && PATH="$HOME/.local/bin:$PATH" '
        "LAUNCH_ACCELERATOR=tpu JAX_PLATFORMS=tpu,cpu launch/run train "
        f"seed_lstm --batch-size 96 --workdir {BUCKET}"
    )
    (delete,) = where(calls, "delete")
    assert calls.index(delete) == len(calls) - 1
    assert {"--force", "--quiet"} <= set(delete)
    # Each command before it runs, and the workers' words as they come.
    lines = capfd.readouterr().out.splitlines()
    shown = [create, prepare, copy, unpack, train, delete]
    places = [lines.index(shlex.join(["gcloud", *call])) for call in shown]
    assert places == sorted(places)
    assert lines[places[4] + 1] == "step 40: told by a worker"
    assert lines[places[5] + 1] == "mine is deleted"


def test_every_worker_of_several_is_told_to_find_the_others(gcloud):
    gcloud.answer("describe", out="ACTIVE")
    command = COMMAND.replace("v5e-8", "v5e-16").split()
    assert main([*command, "--teardown", "no"]) == 0
    (sent,) = [w for w in where(gcloud.calls, "ssh")[-1] if w.startswith("--command=")]
    assert " LAUNCH_DISTRIBUTED=tpu LAUNCH_ACCELERATOR=tpu" in sent


def test_preempted_it_asks_again_and_goes_on(gcloud):
    gcloud.answer("--command=cd gan", code=85, times=1)
    gcloud.answer("describe", out="ACTIVE", times=1)  # it is up
    gcloud.answer("describe", out="SUSPENDED", times=1)  # taken away
    gcloud.answer("describe", err="NOT_FOUND", code=1, times=1)
    gcloud.answer("describe", out="ACTIVE")
    assert main([*COMMAND.split(), "--spot", "--teardown", "no"]) == 0
    calls = gcloud.calls
    assert len(where(calls, "create")) == 2
    assert all("--spot" in create for create in where(calls, "create"))
    assert len(where(calls, "scp")) == 2
    (delete,) = where(calls, "delete")
    first, second = where(calls, "create")
    assert calls.index(first) < calls.index(delete) < len(calls) - 1
    assert second is not None


def test_a_lost_worker_is_seen_by_the_state_of_the_slice(gcloud):
    gcloud.answer("--command=cd gan", err="ssh: connection reset", code=255, times=1)
    gcloud.answer("describe", out="ACTIVE", times=1)
    gcloud.answer("describe", out="FAILED", times=2)
    gcloud.answer("describe", err="NOT_FOUND", code=1, times=1)
    gcloud.answer("describe", out="ACTIVE")
    assert main([*COMMAND.split(), "--teardown", "no"]) == 0
    assert len(where(gcloud.calls, "create")) == 2


@pytest.mark.parametrize("code", [2, 3])
def test_a_mistake_or_a_diverged_run_is_not_tried_again(gcloud, code):
    gcloud.answer("describe", out="ACTIVE")
    gcloud.answer("--command=cd gan", code=code)
    assert main([*COMMAND.split(), "--teardown", "no"]) == code
    assert len(where(gcloud.calls, "create")) == 1


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("ERROR: RESOURCE_EXHAUSTED: Quota 'TPUS' exceeded", "another --zone"),
        ("ERROR: PERMISSION_DENIED: tpu.nodes.create", "may not do this"),
    ],
)
def test_a_refused_request_leaves_nothing(fake, capsys, error, says):
    gcloud = fake("gcloud")
    gcloud.answer("create", err=error, code=1)
    gcloud.answer("describe", err="NOT_FOUND", code=1)
    assert main([*COMMAND.split(), "--teardown", "yes"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert error in line
    assert says in line
    assert not where(gcloud.calls, "ssh")
    assert not where(gcloud.calls, "delete")


def test_a_request_that_fails_later_is_taken_back(gcloud, capsys):
    gcloud.answer("describe", out="FAILED", times=1)
    gcloud.answer("describe", err="NOT_FOUND", code=1)
    assert main([*COMMAND.split(), "--teardown", "yes"]) == 2
    assert "ended as FAILED" in capsys.readouterr().err
    assert len(where(gcloud.calls, "delete")) == 1


def test_teardown_is_asked_for(gcloud, monkeypatch, capsys):
    gcloud.answer("describe", out="ACTIVE")
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "n")
    assert main(COMMAND.split()) == 0
    assert "delete mine" in asked[0]
    assert not where(gcloud.calls, "delete")
    assert "stays, and costs; delete it with: gcloud" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("waits", "code"), [(0, 1), (2, 0)], ids=["in use by another run", "waits still"]
)
def test_a_slice_that_was_there_is_used_and_left(
    fake, monkeypatch, capsys, waits, code
):
    gcloud = fake("gcloud")
    gcloud.answer("describe", out="WAITING_FOR_RESOURCES", times=waits)
    gcloud.answer("describe", out="ACTIVE")
    gcloud.answer("--command=cd gan", err="The TPU is already in use", code=code)
    asked = iter([""])  # as it is where nobody answers
    monkeypatch.setattr("builtins.input", lambda _: next(asked))
    assert main([*COMMAND.split(), "--teardown", "yes"]) == code
    assert where(gcloud.calls, "ssh")
    assert not where(gcloud.calls, "create")
    assert not where(gcloud.calls, "delete")
    out = capsys.readouterr().out
    assert "mine was there before this run: --teardown yes leaves it" in out
    assert "delete it with: gcloud compute tpus queued-resources delete mine" in out


@pytest.mark.parametrize("first", ["NONE", "FAILED"])
def test_a_request_of_another_is_left(fake, monkeypatch, capsys, first):
    gcloud = fake("gcloud")
    if first == "NONE":  # and made by another start just then
        gcloud.answer("describe", err="NOT_FOUND", code=1, times=1)
    gcloud.answer("create", err="ERROR: ALREADY_EXISTS: mine", code=1)
    gcloud.answer("describe", out="FAILED")
    monkeypatch.setattr("builtins.input", lambda _: "")
    assert main([*COMMAND.split(), "--teardown", "yes"]) == 2
    assert not where(gcloud.calls, "delete")
    says = "ALREADY_EXISTS" if first == "NONE" else "ended as FAILED, and was there"
    assert says in capsys.readouterr().err


def test_a_call_that_fails_is_tried_again_and_the_slice_is_given_back(gcloud, capsys):
    gcloud.answer("describe", err="ERROR: refreshing your auth tokens", code=1, times=1)
    gcloud.answer("describe", out="ACTIVE", times=1)
    gcloud.answer("describe", err="ERROR: refreshing your auth tokens", code=1)
    gcloud.answer("delete", err="ERROR: refreshing your auth tokens", code=1, times=1)
    assert main([*COMMAND.split(), "--teardown", "yes"]) == 0
    assert len(where(gcloud.calls, "create")) == 1
    assert len(where(gcloud.calls, "delete")) == 2
    said = capsys.readouterr()
    assert "whether mine is there is not known" in said.err
    assert "mine is deleted" in said.out


def test_a_slice_that_cannot_be_given_back_is_told(gcloud, capsys):
    gcloud.answer("describe", out="ACTIVE")
    gcloud.answer("delete", err="ERROR: PERMISSION_DENIED: tpu.nodes.delete", code=1)
    assert main([*COMMAND.split(), "--teardown", "yes"]) == 1
    assert len(where(gcloud.calls, "delete")) == 1  # waiting would not help
    assert "mine may be there still, and costs: " in capsys.readouterr().err


def test_each_slice_of_a_run_gets_the_same_commit(gcloud, monkeypatch):
    heads = iter([("https://a/b.git", "1" * 40)])
    monkeypatch.setattr(sources, "checkout", lambda: next(heads))
    gcloud.answer("&& PATH", code=255, times=1)
    gcloud.answer("describe", out="ACTIVE", times=3)  # and Google tells of it later
    gcloud.answer("describe", out="SUSPENDED", times=2)
    gcloud.answer("describe", err="NOT_FOUND", code=1, times=1)
    gcloud.answer("describe", out="ACTIVE")
    command = COMMAND.replace("archive", "git").split()
    assert main([*command, "--teardown", "no"]) == 0
    cloned = [c for c in where(gcloud.calls, "ssh") if "git clone" in " ".join(c)]
    assert len(cloned) == len(where(gcloud.calls, "create")) == 2
    assert all(f"git checkout --quiet {'1' * 40}" in " ".join(c) for c in cloned)


def test_a_machine_without_uv_gets_it_by_its_own_pip(tmp_path):
    """The real command, on a PATH that has `python3` alone, as a program like pip."""
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(
        '#!/bin/bash\necho "$*" >>"$HOME/calls"\n[[ $* != *install* ]] && exit\n'
        "[[ $PIP_BREAK_SYSTEM_PACKAGES == 1 ]] || exit 1\n"
        'place=$HOME/.local/bin; /bin/mkdir -p "$place"\n'
        'echo "#!/bin/bash" >"$place/uv"; /bin/chmod +x "$place/uv"\n'
    )
    python.chmod(0o755)
    variables = {"HOME": str(tmp_path), "PATH": str(python.parent)}
    for _ in range(2):
        subprocess.run(["/bin/bash", "-c", queued.UV], env=variables, check=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["-m pip --version", "-m pip install --quiet --user uv"]


def test_dry_run_shows_quoted_commands_and_calls_nothing(gcloud, capsys):
    nasty = "/data/a b'; $(reboot) `x`"
    arguments = [*COMMAND.split(), "--dry-run", "--data.folder", nasty]
    assert main(arguments) == 0
    assert gcloud.calls == []
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [line[4] for line in lines[:2]] == ["create", "describe"]
    (sent,) = [w for w in lines[-2] if w.startswith("--command=")]
    words = shlex.split(sent.removeprefix("--command=").partition("&&")[2])
    assert words[-4:-2] == ["--data.folder", nasty]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("--name A;rm", "small letters, digits and hyphens"),
        ("--zone $(x)", "--zone '$(x)'"),
        ("--workdir runs/a", "give a bucket"),
        ("--target v7x-8", "launch/run gke"),
        ("--target h100-8", "not had by queued resources"),
        ("--target v5e-9", "did you mean 'v5e-8'?"),
        ("--code zip", "must be git or archive"),
        ("--teardown maybe", "yes or no"),
        ("--batch-size many", ""),
        ("--steps 0", "--steps is 0: give 1 or more"),
        ("--batch-size 33", "--batch-size 33 does not divide over 8 devices"),
    ],
)
def test_mistakes_call_nothing(gcloud, capsys, more, says):
    option, value = more.split()
    command = COMMAND.split()
    if option in command:
        command[command.index(option) + 1] = value
    else:
        command += [option, value]
    try:
        code = main(command)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert says in capsys.readouterr().err
    assert gcloud.calls == []


def test_commands_that_cannot_all_be_shown_are_not_shown(monkeypatch, capsys):
    def checkout():
        raise UserError("there is no remote")

    monkeypatch.setattr(sources, "checkout", checkout)
    assert main([*COMMAND.replace("--code archive", "").split(), "--dry-run"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "tpu: there is no remote\n"


def test_without_gcloud_it_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(COMMAND.split()) == 2
    assert "there is no `gcloud` on PATH" in capsys.readouterr().err
    with pytest.raises(UserError, match="no `git` on PATH: install git") as told:
        tools.needed("git")
    assert "--code archive" not in str(told.value)  # which asks git for the files


def test_git_ships_a_pushed_commit_alone(tmp_path, monkeypatch):
    def git(*words, at):
        done = subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words],
            cwd=at, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    far, here = tmp_path / "far.git", tmp_path / "here"
    git("init", "--bare", "--quiet", str(far), at=tmp_path)
    git("clone", "--quiet", str(far), str(here), at=tmp_path)
    monkeypatch.setattr(tools, "ROOT", here)
    (here / "a b.txt").write_text("1")
    with pytest.raises(UserError, match="no commit holds"):
        sources.checkout()
    git("add", ".", at=here)
    git("commit", "--quiet", "-m", "one", at=here)
    with pytest.raises(UserError, match="is not pushed"):
        sources.checkout()
    git("remote", "rename", "origin", "other", at=here)
    with pytest.raises(UserError, match=r"no remote `origin`.*or name an --image"):
        sources.checkout("name an --image")
    git("remote", "rename", "other", "origin", at=here)
    git("push", "--quiet", "origin", "HEAD", at=here)
    assert sources.checkout() == (str(far), git("rev-parse", "HEAD", at=here))
    # The archive takes what is there, committed or not, and nothing that is ignored.
    (here / ".gitignore").write_text("big\n")
    (here / "big").write_text("no")
    (here / "new.txt").write_text("2")
    sources.pack(tmp_path / "code.tar.gz")
    listed = subprocess.run(
        ["tar", "-tzf", str(tmp_path / "code.tar.gz")], capture_output=True, text=True
    )
    assert sorted(listed.stdout.split("\n")[:-1]) == [
        ".gitignore",
        "a b.txt",
        "new.txt",
    ]
